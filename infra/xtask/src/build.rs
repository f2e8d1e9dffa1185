//! `cargo xtask build`: builds the functions for a deployment.

mod function_zip;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use comfy_table::CellAlignment;
use engine::environment::{self, Child};
use engine::functions;
use engine::prepare::install;
use object::elf::{EM_AARCH64, EM_X86_64};
use output::{new_table, say};
use shlex::try_join;
use stack::{EVERY_APPLICATION, Stack};

use self::function_zip::{FunctionZip, GLIBC, MODE, ZIP_LIMIT, version};
use crate::tools::{SAM, WORKSPACE, command, run as run_command};

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Architecture {
    #[value(name = "arm64")]
    Arm64,
    #[value(name = "x86_64")]
    X86_64,
}

impl Architecture {
    /// The value of the template's parameter `Architecture`.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Arm64 => "arm64",
            Self::X86_64 => "x86_64",
        }
    }

    /// The target triple of the Rust compiler.
    const fn target(self) -> &'static str {
        match self {
            Self::Arm64 => "aarch64-unknown-linux-gnu",
            Self::X86_64 => "x86_64-unknown-linux-gnu",
        }
    }

    /// The machine number in the header of an ELF file.
    const fn machine(self) -> u16 {
        match self {
            Self::Arm64 => EM_AARCH64,
            Self::X86_64 => EM_X86_64,
        }
    }
}

/// Builds the functions into `infra/.aws-sam`, where `sam deploy` finds them, and prints a table of the functions with
/// their zipped sizes to stdout. Returns whether Lambda can run all functions, and every zip is within the size limit.
pub async fn run(architecture: Architecture) -> Result<bool> {
    let sam_python = install(&functions::target_folder()?, SAM).await?;
    let (name, target) = (architecture.name(), architecture.target());
    let mut rustup = environment::command(Child::Cargo, "rustup");
    let added = run_command(rustup.args(["target", "add", target])).await;
    added.with_context(|| {
        format!("rustup cannot add the target {target} to the compiler (see https://rustup.rs)")
    })?;
    let mut sam = command(
        Child::SamBuild,
        std::slice::from_ref(&sam_python),
        "sam",
        "infra",
    )?;
    let parameter = format!("Architecture={name}");
    run_command(sam.args(["build", "--parameter-overrides", &parameter])).await?;

    let infra = Path::new(WORKSPACE).canonicalize()?.join("infra");
    let all_usable = finish_build(&infra.join(".aws-sam/build"), &sam_python, architecture).await?;
    if all_usable {
        let deploy = deploy_command(&infra, &sam_python.with_file_name("sam"))?;
        say!("Built for {name}. To deploy it, with {name} as Architecture:\n{deploy}")?;
    }
    Ok(all_usable)
}

/// Finishes the build of SAM in the folder `built`: restricts the template to the architecture, sets the mode of each
/// function's file, and prints a table of the zips. Returns whether Lambda can run all functions, and every zip is
/// within the size limit.
async fn finish_build(built: &Path, python: &Path, architecture: Architecture) -> Result<bool> {
    let template = built.join("template.yaml");
    let context = || template.display().to_string();
    let text = fs::read_to_string(&template).with_context(context)?;
    let text = with_only_architecture(&text, architecture.name()).with_context(context)?;
    fs::write(&template, text).with_context(context)?;

    // Only the functions are read from the stack, so the application does not matter.
    let stack = Stack::of(EVERY_APPLICATION)?;
    let mut table = new_table(["function", "zip", "mode", "glibc"]);
    let mut problems = Vec::new();
    for id in stack.template().of_type("AWS::Serverless::Function")? {
        let function = stack.template().name_of(id)?;
        let package = FunctionZip::of(python, &built.join(id)).await?;
        let found = package.problems(architecture).into_iter();
        problems.extend(found.map(|problem| format!("{function}: {problem}")));
        table.add_row([
            function,
            megabytes(package.bytes),
            format!("{:o}", package.mode),
            version(&package.glibc),
        ]);
    }
    table.add_row([
        "limit".to_owned(),
        megabytes(ZIP_LIMIT),
        format!("{MODE:o}"),
        version(&GLIBC),
    ]);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    say!("{table}")?;
    for problem in &problems {
        say!("{problem}")?;
    }
    Ok(problems.is_empty())
}

/// The lines of a template that make an architecture the only permitted value of the parameter `Architecture`, and its
/// default. They are needed because code that is built for one processor does not run on the other. A deployment
/// that does not set the parameter could otherwise reuse an old value of the stack or of `samconfig.toml`.
fn architecture_lines(architecture: &str) -> String {
    format!(
        "    Default: {architecture}\n    AllowedPattern: {architecture}\n    ConstraintDescription: the functions are built for {architecture}\n"
    )
}

/// The text of a template, in which `Architecture` can have only this value.
pub(crate) fn with_only_architecture(template: &str, architecture: &str) -> Result<String> {
    let (parameter, default) = ("\n  Architecture:\n", "\n    Default: ");
    template
        .split_once(parameter)
        .and_then(|(before, rest)| {
            let (start, rest) = rest.split_once(default)?;
            let (_, rest) = rest.split_once('\n')?;
            // A line with less indentation belongs to another parameter.
            let is_same = start.lines().all(|line| line.starts_with("    "));
            is_same.then(|| {
                format!(
                    "{before}{parameter}{start}\n{}{rest}",
                    architecture_lines(architecture)
                )
            })
        })
        .context("the parameter Architecture has no default")
}

/// The shell command that deploys the build. It works in any folder. It sets no parameter, because SAM would then
/// ignore the values that it has saved for the other parameters.
fn deploy_command(infra: &Path, sam: &Path) -> Result<String> {
    let text = |path: &Path| {
        let text = path.to_str().map(str::to_owned);
        text.with_context(|| format!("{} is not UTF-8", path.display()))
    };
    let (infra, sam) = (text(infra)?, text(sam)?);
    Ok(format!(
        "{} && {}",
        try_join(["cd", &infra])?,
        try_join([sam.as_str(), "deploy", "--guided"])?
    ))
}

fn megabytes(bytes: u64) -> String {
    format!("{}.{:02} MB", bytes / 1_000_000, bytes % 1_000_000 / 10_000)
}

#[cfg(test)]
mod tests {
    use engine::environment::bare;

    use stack::template::{Deployment, TEMPLATE, Template};

    use super::*;

    #[test]
    fn the_built_template_permits_only_its_architecture_and_has_no_other_change() {
        let document = |text: &str| {
            let template = Template::read(text, Deployment::default()).unwrap();
            template.document().clone()
        };
        let mut expected = document(TEMPLATE);
        for built in ["arm64", "x86_64"] {
            let parameter = &mut expected["Parameters"]["Architecture"];
            parameter["Default"] = built.into();
            parameter["AllowedPattern"] = built.into();
            parameter["ConstraintDescription"] =
                format!("the functions are built for {built}").into();
            assert_eq!(
                document(&with_only_architecture(TEMPLATE, built).unwrap()),
                expected
            );
        }
        let other = TEMPLATE.replace("\n  Architecture:\n", "\n  Processor:\n");
        assert!(with_only_architecture(&other, "x86_64").is_err());
        let none = "Parameters:\n  Architecture:\n    Type: String\n  Other:\n    Default: a\n";
        assert!(with_only_architecture(none, "x86_64").is_err());
    }

    #[test]
    fn the_deploy_command_works_in_a_shell_in_any_folder() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().canonicalize().unwrap();
        let infra = folder.join("Ünï Päth & it's (1)/infra");
        fs::create_dir_all(&infra).unwrap();
        let sam = infra.join("sam");
        // A child writes the file. If this process did, a child of another test could still have it open for writing,
        // and it could not be executed.
        let script = "#!/bin/sh\nprintf '%s\\n' \"$PWD\" \"$0\" \"$@\"\n";
        let write = r#"printf %s "$1" >"$2" && chmod 755 "$2""#;
        let mut writing = bare("/bin/sh");
        writing.args(["-c", write, "sh", script]).arg(&sam);
        assert!(writing.as_std_mut().status().unwrap().success());
        let command = deploy_command(&infra, &sam).unwrap();
        let output = bare("/bin/sh").args(["-c", &command]).as_std_mut().output();
        let output = output.unwrap();
        let printed = String::from_utf8(output.stdout).unwrap();
        let (infra, sam) = (infra.to_str().unwrap(), sam.to_str().unwrap());
        let expected = [infra, sam, "deploy", "--guided"];
        assert_eq!(printed.lines().collect::<Vec<_>>(), expected, "{command}");
    }
}
