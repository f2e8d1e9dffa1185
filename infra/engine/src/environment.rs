//! The environment variables that child processes inherit from the person who runs a command. The commands create every
//! child process with the functions of this module.
//!
//! Clients in this process inherit no settings: they call only 127.0.0.1, without a proxy and without TLS.

use std::ffi::OsStr;
use std::process::Stdio;

use tokio::process::Command;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Child {
    /// cargo and rustup. They download, and they start compilers, which any variable may configure. They inherit
    /// everything, because the person has run cargo in this environment already.
    Cargo,
    /// `sam build`, which starts cargo.
    SamBuild,
    /// Programs that look for a Python, make a virtual environment, and install packages. They download.
    Pip,
    /// A linter of the template, the definition or the dependencies, or another tool that needs no network.
    Tool,
    /// MiniStack, the functions that MiniStack starts, and the scripts that deploy them. They call only 127.0.0.1.
    Engine,
}

use Child::{Cargo, Engine, Pip, SamBuild, Tool};

/// Which kinds of children inherit a variable. The first pattern that matches the name of the variable decides. `*`
/// stands for any text. Case does not matter, because the variables of proxies are written in both cases.
const INHERITED: &[(&str, &[Child])] = &[
    // Programs and shared libraries are found with these.
    ("PATH", &[Cargo, SamBuild, Pip, Tool, Engine]),
    ("LD_LIBRARY_PATH", &[Cargo, SamBuild, Pip, Tool, Engine]),
    ("DYLD_*", &[Cargo, SamBuild, Pip, Tool, Engine]),
    // Access to the network, for the children that download.
    ("*_PROXY", &[Cargo, SamBuild, Pip]),
    ("SSL_CERT_*", &[Cargo, SamBuild, Pip]),
    ("REQUESTS_CA_BUNDLE", &[Cargo, SamBuild, Pip]),
    ("CURL_CA_BUNDLE", &[Cargo, SamBuild, Pip]),
    // Where pip finds packages. The other variables of pip are not inherited, because they can change what pip
    // installs, and where.
    ("PIP_*INDEX*", &[Cargo, Pip]),
    ("PIP_*CERT", &[Cargo, Pip]),
    ("PIP_*TIMEOUT", &[Cargo, Pip]),
    ("PIP_*CACHE_DIR", &[Cargo, Pip]),
    ("PIP_CONFIG_FILE", &[Cargo, Pip]),
    ("PIP_FIND_LINKS", &[Cargo, Pip]),
    ("PIP_KEYRING_PROVIDER", &[Cargo, Pip]),
    ("PIP_RETRIES", &[Cargo, Pip]),
    ("PIP_TRUSTED_HOST", &[Cargo, Pip]),
    ("PIP_*", &[Cargo]),
    // Settings for another Python installation.
    ("PYTHON*", &[Cargo]),
    ("VIRTUAL_ENV*", &[Cargo]),
    ("__PYVENV_LAUNCHER__", &[Cargo]),
    // Settings of the AWS-LC library, and below them those of AWS. No build and no linter needs an AWS account.
    ("AWS_LC_*", &[Cargo, SamBuild]),
    ("AWS_*", &[Cargo]),
    ("SAM_*", &[Cargo]),
    // Home directories and temporary files.
    ("HOME", &[Cargo, SamBuild, Pip, Tool]),
    ("TMPDIR", &[Cargo, SamBuild, Pip, Tool]),
    ("XDG_*", &[Cargo, SamBuild, Pip, Tool]),
    ("CARGO*", &[Cargo, SamBuild, Tool]),
    ("RUST*", &[Cargo, SamBuild, Tool]),
    ("*", &[Cargo, SamBuild]),
];

/// The hosts that [`Child::Engine`] calls. No call to them may go through a proxy.
const LOOPBACK: &str = "127.0.0.1,localhost";

fn inherits(child: Child, name: &OsStr) -> bool {
    let name = name.to_string_lossy().to_ascii_uppercase();
    let mut rows = INHERITED.iter();
    let row = rows.find(|(pattern, _)| matches(pattern, &name));
    row.is_some_and(|(_, children)| children.contains(&child))
}

fn matches(pattern: &str, name: &str) -> bool {
    let Some((begin, rest)) = pattern.split_once('*') else {
        return pattern == name;
    };
    let Some(name) = name.strip_prefix(begin) else {
        return false;
    };
    let mut ends = (0..=name.len()).filter_map(|at| name.get(at..));
    ends.any(|end| matches(rest, end))
}

/// A command for this kind of child, with only the variables that this kind inherits. It reads no AWS profile, except
/// for [`Child::Cargo`]. Its standard input is empty.
#[must_use]
pub fn command(child: Child, program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.stdin(Stdio::null()).env_clear();
    command.envs(std::env::vars_os().filter(|(name, _)| inherits(child, name)));
    if child != Cargo {
        command
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("AWS_CONFIG_FILE", "/dev/null")
            .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null");
    }
    if child == Engine {
        // If no proxy variable is set, Python uses the proxy of the system settings on macOS.
        command.env("NO_PROXY", LOOPBACK).env("no_proxy", LOOPBACK);
    }
    command
}

/// A command that inherits no variable at all. Its standard input is empty.
#[must_use]
pub fn bare(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.stdin(Stdio::null()).env_clear();
    command
}

/// The cargo that started this process, or the one in `PATH` if another program started it.
#[must_use]
pub fn cargo() -> Command {
    let program = std::env::var_os("CARGO");
    command(Cargo, program.unwrap_or_else(|| "cargo".into()))
}

/// Shell commands that remove every setting that would keep the aws CLI, or another client of AWS, from calling the
/// engine: variables and profiles of AWS, and proxies.
pub const CLEAN_CLIENT_ENVIRONMENT: &str = r#"unset AWS_PROFILE $(env | grep -o '^AWS_[A-Z0-9_]*')
export AWS_CONFIG_FILE=/dev/null AWS_SHARED_CREDENTIALS_FILE=/dev/null
export NO_PROXY="127.0.0.1,localhost,${no_proxy:-${NO_PROXY:-}}"
export no_proxy="$NO_PROXY""#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_between_the_parts_of_the_engine_do_not_use_a_system_wide_proxy() {
        for (child, expected) in [(Engine, Some("127.0.0.1,localhost")), (Pip, None)] {
            for name in ["NO_PROXY", "no_proxy"] {
                let command = command(child, "x");
                let mut variables = command.as_std().get_envs();
                let set = variables.find(|(variable, _)| *variable == name);
                let set = set.and_then(|(_, value)| value?.to_str());
                let inherited = std::env::var(name).ok();
                let expected = expected.or(inherited.as_deref());
                assert_eq!(set, expected, "{child:?} {name}");
            }
        }
    }

    #[test]
    fn each_child_inherits_what_it_needs_and_nothing_that_can_break_it() {
        let network: &[Child] = &[Cargo, SamBuild, Pip];
        let build: &[Child] = &[Cargo, SamBuild];
        for (names, children) in [
            (
                "PATH LD_LIBRARY_PATH DYLD_LIBRARY_PATH",
                &[Cargo, SamBuild, Pip, Tool, Engine][..],
            ),
            (
                "HTTP_PROXY http_proxy HTTPS_PROXY https_proxy ALL_PROXY all_proxy NO_PROXY no_proxy Http_Proxy PIP_PROXY",
                network,
            ),
            (
                "SSL_CERT_FILE SSL_CERT_DIR REQUESTS_CA_BUNDLE CURL_CA_BUNDLE",
                network,
            ),
            (
                "PIP_CERT PIP_CLIENT_CERT PIP_INDEX_URL PIP_EXTRA_INDEX_URL PIP_NO_INDEX PIP_FIND_LINKS \
                 PIP_TRUSTED_HOST PIP_CONFIG_FILE PIP_DEFAULT_TIMEOUT PIP_TIMEOUT PIP_NO_CACHE_DIR",
                &[Cargo, Pip],
            ),
            (
                "PIP_TARGET PIP_PREFIX PIP_USER PIP_ROOT PIP_REQUIRE_VIRTUALENV PIP_NO_BINARY PIP_CONSTRAINT PIP_DRY_RUN",
                &[Cargo],
            ),
            (
                "PYTHONPATH PYTHONHOME PYTHONSTARTUP PYTHONUSERBASE PYTHONOPTIMIZE VIRTUAL_ENV __PYVENV_LAUNCHER__",
                &[Cargo],
            ),
            (
                "AWS_PROFILE AWS_DEFAULT_PROFILE AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN AWS_REGION \
                 AWS_ENDPOINT_URL AWS_ENDPOINT_URL_SFN AWS_CONFIG_FILE AWS_CA_BUNDLE AWS_USE_FIPS_ENDPOINT \
                 AWS_ROLE_ARN AWS_LAMBDA_RUNTIME_API SAM_CLI_POLL_DELAY",
                &[Cargo],
            ),
            ("HOME TMPDIR", &[Cargo, SamBuild, Pip, Tool]),
            (
                "CARGO CARGO_HOME RUSTUP_TOOLCHAIN RUSTFLAGS",
                &[Cargo, SamBuild, Tool],
            ),
            ("CC SDKROOT OPENSSL_DIR AWS_LC_SYS_NO_JITTER_ENTROPY", build),
            (
                "LOG_LEVEL LAMBDA_EXECUTOR GATEWAY_PORT SFN_WAIT_SCALE BC_API_KEY ANYTHING",
                build,
            ),
        ] {
            for name in names.split(' ') {
                for child in [Cargo, SamBuild, Pip, Tool, Engine] {
                    let expected = children.contains(&child);
                    assert_eq!(
                        inherits(child, OsStr::new(name)),
                        expected,
                        "{child:?}, {name}"
                    );
                }
            }
        }
    }
}
