//! The zip of a function, and whether Lambda can run it.

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use engine::environment::{Child, command};
use object::LittleEndian;
use object::elf::FileHeader64;
use object::read::elf::{ElfFile64, FileHeader};

use super::Architecture;
use crate::tools::{WORKSPACE, output};

/// The size limit of a function's zip, in bytes.
pub(super) const ZIP_LIMIT: u64 = 3_000_000;

/// The file mode that the file `bootstrap` must have. Lambda runs it as a user who is not its owner.
pub(super) const MODE: u32 = 0o755;

/// The version of glibc in `provided.al2023`.
pub(super) const GLIBC: [u32; 2] = [2, 34];

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FunctionZip {
    /// The size of the zip in bytes.
    pub(super) bytes: u64,
    /// The file mode of the file `bootstrap`.
    pub(super) mode: u32,
    /// The processor for which the bootstrap is built, as a machine number of ELF (`e_machine`).
    pub(super) machine: u16,
    /// The newest version of glibc that the bootstrap needs. Empty if it needs no glibc.
    pub(super) glibc: Vec<u32>,
}

impl FunctionZip {
    /// Sets the mode of the file `bootstrap` in a folder, and zips the file. The mode has to be set, because the umask
    /// of the person who builds may have removed the permissions of other users.
    pub(super) async fn of(python: impl AsRef<OsStr>, folder: &Path) -> Result<Self> {
        let bootstrap = folder.join("bootstrap");
        let context = || bootstrap.display().to_string();
        fs::set_permissions(&bootstrap, Permissions::from_mode(MODE)).with_context(context)?;
        let zip = tempfile::NamedTempFile::new()?;
        let mut archive = command(Child::Tool, python);
        archive
            .arg(format!("{WORKSPACE}/infra/xtask/python/archive.py"))
            .arg(zip.path())
            .arg(format!("bootstrap={}", bootstrap.display()));
        let zipped = output(&mut archive).await?;
        let message = String::from_utf8_lossy(&zipped.stderr);
        ensure!(zipped.status.success(), "{}: {message}", context());
        let binary = fs::read(&bootstrap).with_context(context)?;
        let (machine, glibc) = requirements_of(&binary).with_context(context)?;
        Ok(Self {
            bytes: zip.as_file().metadata()?.len(),
            // The zip that `sam deploy` makes has the mode of the file.
            mode: fs::metadata(&bootstrap)?.permissions().mode() & 0o777,
            machine,
            glibc,
        })
    }

    /// The reasons why Lambda cannot run the package on this processor, and why it must not be deployed.
    pub(super) fn problems(&self, architecture: Architecture) -> Vec<String> {
        let name = architecture.name();
        let checks = [
            (
                self.bytes > ZIP_LIMIT,
                format!("the zip has more than {ZIP_LIMIT} bytes"),
            ),
            (
                self.mode != MODE,
                format!("its mode is {:o}, not {MODE:o}", self.mode),
            ),
            (
                self.machine != architecture.machine(),
                format!("the binary is not for {name}"),
            ),
            (
                self.glibc.as_slice() > GLIBC.as_slice(),
                format!(
                    "the binary needs glibc {}, but Lambda has {}",
                    version(&self.glibc),
                    version(&GLIBC)
                ),
            ),
        ];
        let found = checks.into_iter().filter(|(is_problem, _)| *is_problem);
        found.map(|(_, problem)| problem).collect()
    }
}

pub(super) fn version(numbers: &[u32]) -> String {
    let numbers: Vec<String> = numbers.iter().map(u32::to_string).collect();
    numbers.join(".")
}

/// The machine number of a binary, and the newest version of glibc that its symbols need.
fn requirements_of(binary: &[u8]) -> Result<(u16, Vec<u32>)> {
    let file = ElfFile64::<LittleEndian>::parse(binary).context("not an ELF file of 64 bits")?;
    let header: &FileHeader64<LittleEndian> = file.elf_header();
    let machine = header.e_machine(LittleEndian);
    let sections = file.elf_section_table();
    let mut newest = Vec::new();
    if let Some((libraries, link)) = sections.gnu_verneed(LittleEndian, binary)? {
        let strings = sections.strings(LittleEndian, binary, link)?;
        for library in libraries {
            let (_, versions) = library?;
            for version in versions {
                let name = version?.name(LittleEndian, strings)?;
                newest = newest.max(glibc(&String::from_utf8_lossy(name)));
            }
        }
    }
    Ok((machine, newest))
}

/// The version in a name such as `GLIBC_2.34`. Empty if the name belongs to another library.
fn glibc(name: &str) -> Vec<u32> {
    match name.strip_prefix("GLIBC_") {
        // With this name, a linker demands a loader that supports packed relocations. glibc has had one since 2.36.
        Some("ABI_DT_RELR") => vec![2, 36],
        Some(numbers) => {
            let numbers = numbers.split('.').map(str::parse::<u32>);
            numbers.collect::<Result<Vec<_>, _>>().unwrap_or_default()
        }
        None => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(mode: u32, machine: u16, glibc: &[u32]) -> FunctionZip {
        FunctionZip {
            bytes: ZIP_LIMIT,
            mode,
            machine,
            glibc: glibc.to_vec(),
        }
    }

    #[test]
    fn what_lambda_cannot_run_is_a_problem() {
        let (arm, x86) = (Architecture::Arm64, Architecture::X86_64);
        let large = FunctionZip {
            bytes: ZIP_LIMIT + 1,
            ..package(MODE, x86.machine(), &[])
        };
        for (package, architecture, problem) in [
            (package(0o755, arm.machine(), &[2, 34]), arm, ""),
            (package(0o755, x86.machine(), &[2, 4]), x86, ""),
            (package(0o755, x86.machine(), &[]), x86, ""),
            (package(0o754, arm.machine(), &[]), arm, "its mode is 754"),
            (package(0o755, x86.machine(), &[]), arm, "not for arm64"),
            (package(0o755, arm.machine(), &[]), x86, "not for x86_64"),
            (
                package(0o755, arm.machine(), &[2, 34, 1]),
                arm,
                "needs glibc 2.34.1, but Lambda has 2.34",
            ),
            (
                package(0o755, arm.machine(), &[2, 100]),
                arm,
                "needs glibc 2.100",
            ),
            (large, x86, "more than 3000000 bytes"),
        ] {
            let problems = package.problems(architecture).join("\n");
            assert!(problems.contains(problem), "{package:?}: {problems}");
            assert_eq!(problems.is_empty(), problem.is_empty(), "{package:?}");
        }
    }

    #[test]
    fn versions_of_glibc_are_numbers() {
        for (name, expected) in [
            ("GLIBC_2.2.5", &[2, 2, 5][..]),
            ("GLIBC_2.34", &[2, 34]),
            ("GLIBC_ABI_DT_RELR", &[2, 36]),
            ("GLIBC_PRIVATE", &[]),
            ("GCC_3.0", &[]),
        ] {
            assert_eq!(glibc(name), expected, "{name}");
        }
    }

    /// The test needs an ELF file that is built for this machine. On every Linux, the shell is one.
    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn every_user_may_execute_the_bootstrap_even_if_it_was_built_with_a_private_umask() {
        let folder = tempfile::tempdir().unwrap();
        let bootstrap = folder.path().join("bootstrap");
        fs::copy("/bin/sh", &bootstrap).unwrap();
        fs::set_permissions(&bootstrap, Permissions::from_mode(0o750)).unwrap();
        let package = FunctionZip::of("python3", folder.path()).await.unwrap();
        let here = if cfg!(target_arch = "aarch64") {
            Architecture::Arm64
        } else {
            Architecture::X86_64
        };
        assert_eq!(package.mode, 0o755);
        assert_eq!(package.machine, here.machine());
        assert!(package.bytes > 1_000, "{package:?}");
        // A shell that is linked with glibc needs some version of it. The file then contains the name `GLIBC_`.
        let bytes = fs::read(&bootstrap).unwrap();
        let needs_glibc = bytes.windows(6).any(|bytes| bytes == b"GLIBC_");
        assert_eq!(package.glibc.as_slice() > [2, 2].as_slice(), needs_glibc);
    }
}
