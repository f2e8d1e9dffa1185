//! Child processes that end together with what they have started.

use std::io;
use std::process::{ExitStatus, Output};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};

/// How long the end of killed processes may take. Orphans are counted until the system's first process has reaped them,
/// which in a container may be never.
const END_LIMIT: Duration = Duration::from_secs(2);

/// A child process and the processes that it starts, as one process group. Dropping it kills them, and waits until they
/// have ended.
#[derive(Debug)]
pub struct Group {
    leader: Child,
}

impl Group {
    /// Starts the command.
    pub fn start(command: &mut Command) -> Result<Self> {
        let started = command.process_group(0).kill_on_drop(true).spawn();
        let leader = started.with_context(|| {
            let program = command.as_std().get_program();
            program.to_string_lossy().into_owned()
        })?;
        Ok(Self { leader })
    }

    /// The process that was started.
    pub fn leader(&mut self) -> &mut Child {
        &mut self.leader
    }

    /// Waits for the end of the process.
    pub async fn status(mut self) -> Result<ExitStatus> {
        Ok(self.leader.wait().await?)
    }

    /// Waits for the end of the process and returns what it has printed to pipes.
    pub async fn output(mut self) -> Result<Output> {
        let (stdout, stderr) = (self.leader.stdout.take(), self.leader.stderr.take());
        let (stdout, stderr) = tokio::try_join!(read(stdout), read(stderr))?;
        Ok(Output {
            status: self.leader.wait().await?,
            stdout,
            stderr,
        })
    }
}

async fn read(pipe: Option<impl AsyncRead + Unpin>) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    if let Some(mut pipe) = pipe {
        pipe.read_to_end(&mut text).await?;
    }
    Ok(text)
}

impl Drop for Group {
    fn drop(&mut self) {
        // A process that has been waited for has no id any more: another group may have it.
        let id = self.leader.id().and_then(|id| i32::try_from(id).ok());
        let Some(group) = id.and_then(Pid::from_raw) else {
            return;
        };
        // An error means that it has ended already.
        let _ = kill_process_group(group, Signal::KILL);
        let deadline = Instant::now() + END_LIMIT;
        let mut is_reaped = false;
        while Instant::now() < deadline {
            is_reaped = is_reaped || !matches!(self.leader.try_wait(), Ok(None));
            if is_reaped && test_kill_process_group(group).is_err() {
                return;
            }
            sleep(Duration::from_millis(5));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::Stdio;

    use tokio::io::{AsyncBufReadExt, BufReader};
    use tokio::time::timeout;

    use super::*;
    use crate::environment;

    #[tokio::test]
    async fn a_dropped_group_has_ended_with_what_it_has_started() {
        let mut shell = environment::bare("/bin/sh");
        shell.args(["-c", "/bin/sleep 1000 & echo started; wait"]);
        let mut group = Group::start(shell.stdout(Stdio::piped())).unwrap();
        let mut lines = BufReader::new(group.leader().stdout.take().unwrap()).lines();
        assert_eq!(lines.next_line().await.unwrap().unwrap(), "started");
        drop(group);
        // The pipe ends when no process has it open any more.
        let end = timeout(Duration::from_secs(10), lines.next_line()).await;
        assert_eq!(end.unwrap().unwrap(), None);
    }

    #[tokio::test]
    async fn both_outputs_are_read_whatever_their_size() {
        let mut shell = environment::bare("/bin/sh");
        shell.args([
            "-c",
            "/usr/bin/head -c 200000 /dev/zero >&2; echo out; exit 3",
        ]);
        let shell = shell.stdout(Stdio::piped()).stderr(Stdio::piped());
        let output = Group::start(shell).unwrap().output().await.unwrap();
        assert_eq!(
            (output.status.code(), output.stderr.len()),
            (Some(3), 200_000)
        );
        assert_eq!(output.stdout, b"out\n");
    }
}
