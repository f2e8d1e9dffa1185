//! Finds the running engine that a command uses, and prints what a client needs to use it.

use std::path::Path;

use anyhow::{Result, bail};
use engine::Connection;
use engine::functions;
use engine::home::announced;
use shlex::try_quote;

/// Connects to the engine that this command uses, according to its environment. See [`find`].
pub async fn connection() -> Result<Connection> {
    let endpoint = std::env::var("AWS_ENDPOINT_URL").ok();
    find(endpoint, &functions::target_folder()?).await
}

/// Finds the engine that a command uses. If `AWS_ENDPOINT_URL` is set, it is the engine at that address. Otherwise it
/// is the only engine that `cargo local up` keeps running in this checkout.
///
/// # Errors
/// Returns an error if no engine answers; the message has each address that was tried. Returns an error if
/// `AWS_ENDPOINT_URL` is not set and several engines are running; the message has the command that chooses each of
/// them.
pub async fn find(aws_endpoint_url: Option<String>, target: &Path) -> Result<Connection> {
    let given = aws_endpoint_url.filter(|endpoint| !endpoint.is_empty());
    let mut tried = Vec::new();
    if let Some(endpoint) = &given {
        match Connection::fetch(endpoint).await {
            Ok(connection) => return Ok(connection),
            Err(error) => tried.push(format!("{endpoint}, from AWS_ENDPOINT_URL: {error:#}")),
        }
    }
    let mut running = Vec::new();
    for (endpoint, file) in announced(target) {
        match Connection::fetch(&endpoint).await {
            Ok(connection) => running.push(connection),
            Err(error) => tried.push(format!("{endpoint}, from {}: {error:#}", file.display())),
        }
    }
    if let (None, [only]) = (&given, running.as_slice()) {
        return Ok(only.clone());
    }
    let choices = running
        .iter()
        .map(|connection| export("AWS_ENDPOINT_URL", &connection.endpoint));
    let choices = choices.collect::<Result<Vec<_>>>()?.join("\n  ");
    match given {
        None if !running.is_empty() => {
            bail!("several engines of this checkout are running; choose one:\n  {choices}")
        }
        Some(endpoint) if !running.is_empty() => {
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

/// The `export` commands for a shell in which clients will use the engine, one on each line.
///
/// # Errors
/// Returns an error if a value cannot be quoted for a shell.
pub fn exports(connection: &Connection) -> Result<String> {
    let mut lines = Vec::new();
    for (name, value) in [
        ("AWS_ENDPOINT_URL", connection.endpoint.as_str()),
        ("AWS_REGION", connection.region.as_str()),
        ("AWS_DEFAULT_REGION", connection.region.as_str()),
        ("AWS_ACCESS_KEY_ID", "local"),
        ("AWS_SECRET_ACCESS_KEY", "local"),
        ("STATE_MACHINE_ARN", connection.state_machine_arn.as_str()),
        ("TABLE_NAME", connection.table.as_str()),
        ("TOPIC_ARN", connection.topic_arn.as_str()),
        ("FAILURE_QUEUE_URL", connection.failure_queue_url.as_str()),
        ("FUNCTION_NAME", connection.function_name.as_str()),
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
    fn a_shell_sets_every_variable_to_its_exact_value() {
        let odd = |name: &str| format!("{name}: Ünï Päth & it's (1) $HOME `id` \"x\" !");
        let connection = Connection {
            endpoint: odd("endpoint"),
            region: odd("region"),
            state_machine_arn: odd("machine"),
            table: odd("table"),
            topic_arn: odd("topic"),
            failure_queue_url: odd("queue"),
            function_name: odd("function"),
        };
        let variables = r#""$AWS_ENDPOINT_URL" "$AWS_REGION" "$AWS_DEFAULT_REGION" "$STATE_MACHINE_ARN" "$TABLE_NAME" "$TOPIC_ARN" "$FAILURE_QUEUE_URL" "$FUNCTION_NAME""#;
        let script = format!(
            "{}\nprintf '%s\\n' {variables}",
            exports(&connection).unwrap()
        );
        let output = bare("/bin/sh").args(["-c", &script]).as_std_mut().output();
        let output = output.unwrap();
        let printed = String::from_utf8(output.stdout).unwrap();
        let expected = [
            "endpoint", "region", "region", "machine", "table", "topic", "queue", "function",
        ];
        assert_eq!(printed.lines().collect::<Vec<_>>(), expected.map(odd));
    }
}
