//! The engines that run: which one a command uses, and what a client needs to use one.

use std::path::Path;

use anyhow::{Result, bail};
use engine::Names;
use engine::functions;
use engine::home::announced;
use shlex::try_quote;

/// The names of the engine that this command uses, by its environment.
pub async fn names() -> Result<Names> {
    let endpoint = std::env::var("AWS_ENDPOINT_URL").ok();
    find(endpoint, &functions::target_folder()?).await
}

/// The names of the engine that a command uses: that of `AWS_ENDPOINT_URL`, or else the only one that `up` keeps running
/// in this checkout.
///
/// # Errors
/// Returns an error if no engine runs there, with each address that was tried, or if several run, with the command that
/// chooses each.
pub async fn find(aws_endpoint_url: Option<String>, target: &Path) -> Result<Names> {
    let given = aws_endpoint_url.filter(|endpoint| !endpoint.is_empty());
    let mut tried = Vec::new();
    if let Some(endpoint) = &given {
        match Names::at(endpoint).await {
            Ok(names) => return Ok(names),
            Err(error) => tried.push(format!("{endpoint}, from AWS_ENDPOINT_URL: {error:#}")),
        }
    }
    let mut living = Vec::new();
    for (endpoint, file) in announced(target) {
        match Names::at(&endpoint).await {
            Ok(names) => living.push(names),
            Err(error) => tried.push(format!("{endpoint}, from {}: {error:#}", file.display())),
        }
    }
    if let (None, [only]) = (&given, living.as_slice()) {
        return Ok(only.clone());
    }
    let choices = living
        .iter()
        .map(|names| export("AWS_ENDPOINT_URL", &names.endpoint));
    let choices = choices.collect::<Result<Vec<_>>>()?.join("\n  ");
    match given {
        None if !living.is_empty() => {
            bail!("several engines of this checkout are running; choose one:\n  {choices}")
        }
        Some(endpoint) if !living.is_empty() => {
            let tried = tried.join("\n  ");
            bail!(
                "no engine is running at {endpoint}; choose one of this checkout:\n  {choices}\nTried:\n  {tried}"
            )
        }
        _ => {
            if tried.is_empty() {
                let folder = target.join("local");
                tried.push(format!(
                    "nothing: AWS_ENDPOINT_URL is not set, and `cargo local up` has left no address in {}",
                    folder.display()
                ));
            }
            let tried = tried.join("\n  ");
            bail!(
                "no engine is running; start one with `cargo local up` in another shell\nTried:\n  {tried}"
            )
        }
    }
}

/// The commands for a shell whose clients are to use the engine, a line each.
///
/// # Errors
/// Returns an error if a name cannot be an argument.
pub fn exports(names: &Names) -> Result<String> {
    let mut lines = Vec::new();
    for (name, value) in [
        ("AWS_ENDPOINT_URL", names.endpoint.as_str()),
        ("AWS_REGION", names.region.as_str()),
        ("AWS_DEFAULT_REGION", names.region.as_str()),
        ("AWS_ACCESS_KEY_ID", "local"),
        ("AWS_SECRET_ACCESS_KEY", "local"),
        ("STATE_MACHINE_ARN", names.state_machine_arn.as_str()),
        ("TABLE_NAME", names.table.as_str()),
        ("TOPIC_ARN", names.topic_arn.as_str()),
        ("FAILURE_QUEUE_URL", names.failure_queue_url.as_str()),
        ("FUNCTION_NAME", names.function_name.as_str()),
    ] {
        lines.push(export(name, value)?);
    }
    Ok(lines.join("\n"))
}

fn export(name: &str, value: &str) -> Result<String> {
    Ok(format!("export {name}={}", try_quote(value)?))
}

#[cfg(test)]
mod tests {
    use engine::environment::bare;

    use super::*;

    #[test]
    fn a_shell_gets_every_name_as_it_is() {
        let odd = |name: &str| format!("{name}: Ünï Päth & it's (1) $HOME `id` \"x\" !");
        let names = Names {
            endpoint: odd("endpoint"),
            region: odd("region"),
            state_machine_arn: odd("machine"),
            table: odd("table"),
            topic_arn: odd("topic"),
            failure_queue_url: odd("queue"),
            function_name: odd("function"),
        };
        let variables = r#""$AWS_ENDPOINT_URL" "$AWS_REGION" "$AWS_DEFAULT_REGION" "$STATE_MACHINE_ARN" "$TABLE_NAME" "$TOPIC_ARN" "$FAILURE_QUEUE_URL" "$FUNCTION_NAME""#;
        let script = format!("{}\nprintf '%s\\n' {variables}", exports(&names).unwrap());
        let output = bare("/bin/sh").args(["-c", &script]).as_std_mut().output();
        let output = output.unwrap();
        let printed = String::from_utf8(output.stdout).unwrap();
        let expected = [
            "endpoint", "region", "region", "machine", "table", "topic", "queue", "function",
        ];
        assert_eq!(printed.lines().collect::<Vec<_>>(), expected.map(odd));
    }
}
