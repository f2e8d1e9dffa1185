//! `cargo xtask package`: makes a zip that can be deployed with the aws CLI alone.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use engine::differences::local_template;
use engine::environment::Child;
use engine::functions;
use engine::ministack::{MiniStack, MiniStackSettings};
use engine::prepare::install;
use engine::python::MINISTACK;
use output::say;
use stack::template::{Deployment, TEMPLATE, Template};
use stack::{ACCOUNT, EVERY_APPLICATION, REGION, STACK, Stack};
use tokio::process::Command;

use crate::build::{self, Architecture};
use crate::tools::{AWS_CLI, SAM, WORKSPACE, command, output, run as run_command};

/// The README of the package, with the placeholders `VERSION` and `ARCHITECTURE`.
pub const README: &str = include_str!("../package/README.md");

/// The path of the state machine's definition, relative to the template of the workspace.
const WORKSPACE_DEFINITION: &str = "../statemachine/snapshot-manager.asl.json";

/// The path of the state machine's definition, relative to the template of the package.
const PACKAGE_DEFINITION: &str = "snapshot-manager.asl.json";

/// The port in the URLs of queues. Nothing calls a queue here, so any number will do.
const QUEUE_PORT: u16 = 4566;

/// Builds the functions, and writes the package into the folder `dist` of the target folder. If `check` is true, also
/// deploys the package to MiniStack. Returns whether Lambda can run the functions.
pub async fn run(architecture: Architecture, check: bool) -> Result<bool> {
    if !build::run(architecture).await? {
        return Ok(false);
    }
    let package = make(architecture).await?;
    say!("Packaged: {}", package.display())?;
    if check {
        deploy(&package).await?;
        say!("Deployed to MiniStack, with the commands of the package's README.")?;
    }
    Ok(true)
}

/// Makes the package of the functions that were built. The same content results in the same bytes.
async fn make(architecture: Architecture) -> Result<PathBuf> {
    let architecture = architecture.name();
    let version = env!("CARGO_PKG_VERSION");
    let name = format!("snapshot-manager-{version}-{architecture}");

    let target = functions::target_folder()?;
    let tools = [install(&target, SAM).await?];
    let folder = tempfile::tempdir()?;
    let write = |file: &str, text: &str| {
        let path = folder.path().join(file);
        fs::write(&path, text).with_context(|| path.display().to_string())?;
        Ok::<_, anyhow::Error>((file.to_owned(), path))
    };
    let readme = README.replace("VERSION", version);
    let workspace = Path::new(WORKSPACE);
    let mut files = vec![
        write("README.md", &readme.replace("ARCHITECTURE", architecture))?,
        write("template.yaml", &packaged(TEMPLATE, architecture)?)?,
        write(PACKAGE_DEFINITION, stack::definition::DEFINITION)?,
        ("LICENSE".to_owned(), workspace.join("LICENSE")),
    ];
    let stack = Stack::of(EVERY_APPLICATION)?;
    for id in stack.template().of_type("AWS::Serverless::Function")? {
        let built = workspace.join(format!("infra/.aws-sam/build/{id}/bootstrap"));
        let file = format!("{}.zip", stack.template().name_of(id)?);
        let path = folder.path().join(&file);
        zip(&tools, &path, &[("bootstrap".to_owned(), built)]).await?;
        files.push((file, path));
    }
    for (file, _) in &mut files {
        *file = format!("{name}/{file}");
    }
    let dist = target.join("dist");
    fs::create_dir_all(&dist).with_context(|| dist.display().to_string())?;
    let package = dist.join(format!("{name}.zip"));
    zip(&tools, &package, &files).await?;
    Ok(package)
}

/// Makes a zip of files. Each file is given with its name in the zip.
async fn zip(tools: &[PathBuf], zip: &Path, files: &[(String, PathBuf)]) -> Result<()> {
    let mut python = command(Child::Tool, tools, "python", "infra/xtask/python")?;
    python.arg("archive.py").arg(zip);
    for (name, path) in files {
        python.arg(format!("{name}={}", path.display()));
    }
    run_command(&mut python).await
}

/// Changes the template of the workspace into that of the package: the code of each function is the zip with the
/// function's name, the definition is beside the template, and the parameter `Architecture` permits only the
/// architecture that was built.
///
/// It edits the text, so that the comments and the order of the parameters stay as they are.
pub fn packaged(template: &str, architecture: &str) -> Result<String> {
    let definition_uri = |path: &str| format!("\n      DefinitionUri: {path}\n");
    let workspace = definition_uri(WORKSPACE_DEFINITION);
    let package = definition_uri(PACKAGE_DEFINITION);
    let text = replaced(template, "\n    CodeUri: ..\n", "\n")?;
    let text = replaced(&text, &workspace, &package)?;
    let mut text = build::with_only_architecture(&text, architecture)?;
    for function in functions::FUNCTIONS {
        let head = format!("BuildProperties: {{ Binary: {function} }}\n    Properties:\n");
        let with_code = format!("{head}      CodeUri: {function}.zip\n");
        text = replaced(&text, &head, &with_code)?;
    }
    Ok(text)
}

fn replaced(text: &str, from: &str, to: &str) -> Result<String> {
    let count = text.matches(from).count();
    ensure!(
        count == 1,
        "the template must contain this once, but contains it {count} times: {from}"
    );
    Ok(text.replacen(from, to, 1))
}

/// The shell commands in the README of a package.
pub fn readme_commands(readme: &str) -> Result<&str> {
    let block = readme.split_once("```sh\n");
    let block = block.and_then(|(_, rest)| rest.split_once("```"));
    let (commands, _) = block.context("the package's README has no commands")?;
    Ok(commands)
}

/// Unpacks a package and deploys it to MiniStack, with the commands of the package's README. The
/// [`engine::differences::DIFFERENCES`] are applied to the template first.
async fn deploy(package: &Path) -> Result<()> {
    let target = functions::target_folder()?;
    let ministack = install(&target, MINISTACK).await?;
    let tools = [install(&target, AWS_CLI).await?];
    let folder = tempfile::tempdir()?;
    let mut unzip = command(Child::Tool, &tools, "python", ".")?;
    unzip.args(["-m", "zipfile", "-e"]).arg(package);
    run_command(unzip.arg(folder.path())).await?;
    let name = package.file_stem().context("the package has no name")?;
    let unpacked = folder.path().join(name);

    let template = unpacked.join("template.yaml");
    let text = fs::read_to_string(&template)?;
    let local = local_template(&Template::read(&text, Deployment::default())?);
    fs::write(&template, serde_json::to_vec(&local)?)?;

    let settings = MiniStackSettings {
        python: ministack,
        folder: folder.path().to_owned(),
        proxy_port: QUEUE_PORT,
        wait_scale: 1.0,
        event_retry_seconds: 2.0,
    };
    let mut ministack = MiniStack::start(&settings).await?;
    let endpoint = &ministack.upstream().endpoint().to_owned();
    let readme = fs::read_to_string(unpacked.join("README.md"))?;
    let mut shell = client(&tools, "sh", &unpacked, endpoint)?;
    tokio::select! {
        ran = run_command(shell.args(["-euc", readme_commands(&readme)?])) => ran?,
        error = ministack.wait_for_failure() => return Err(error),
    }
    let query = "Stacks[0].StackStatus";
    let mut aws = client(&tools, "aws", &unpacked, endpoint)?;
    aws.args(["cloudformation", "describe-stacks", "--stack-name", STACK]);
    let status = output(aws.args(["--output", "text", "--query", query])).await?;
    drop(ministack);
    let printed = String::from_utf8_lossy(&[status.stdout, status.stderr].concat()).into_owned();
    let status = printed.trim();
    ensure!(status == "CREATE_COMPLETE", "the stack is {status}");
    Ok(())
}

/// A command that runs a client of MiniStack. It inherits no setting with which it could reach an AWS account.
/// MiniStack takes the access key for the id of the account.
fn client(tools: &[PathBuf], program: &str, folder: &Path, endpoint: &str) -> Result<Command> {
    let mut client = command(Child::Engine, tools, program, ".")?;
    client
        .current_dir(folder)
        .env("AWS_ENDPOINT_URL", endpoint)
        .env("AWS_DEFAULT_REGION", REGION)
        .env("AWS_ACCESS_KEY_ID", ACCOUNT)
        .env("AWS_SECRET_ACCESS_KEY", "local");
    Ok(client)
}
