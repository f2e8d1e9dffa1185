//! Child processes that end together with the processes that they have started.

use std::io;
use std::process::{ExitStatus, Output};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, kill_process_group, test_kill_process_group, waitid,
};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};

/// How long to wait until killed processes have ended. An orphan counts as running until the system's first process has
/// reaped it, which in some containers never happens.
const END_LIMIT: Duration = Duration::from_secs(2);

/// A child process (the leader) and the processes that it starts, as one process group. When the leader ends,
/// [`Group::ended`] kills the others. Dropping the group kills all of them, and waits until they have ended.
#[derive(Debug)]
pub struct Group {
    /// Only [`Group::ended`] and `drop` wait for the leader. Until one of them does, the system gives the id of the
    /// group to no other process.
    leader: Child,
    id: Option<Pid>,
}

impl Group {
    /// Starts the command as the leader of a new group.
    pub fn start(command: &mut Command) -> Result<Self> {
        let started = command.process_group(0).kill_on_drop(true).spawn();
        let leader = started.with_context(|| {
            let program = command.as_std().get_program();
            program.to_string_lossy().into_owned()
        })?;
        let id = leader.id().and_then(|id| i32::try_from(id).ok());
        let id = id.and_then(Pid::from_raw);
        Ok(Self { leader, id })
    }

    /// The leader. To wait for its end, use [`Group::ended`].
    pub fn leader(&mut self) -> &mut Child {
        &mut self.leader
    }

    /// Waits until the leader ends, and kills the processes that it has left behind.
    pub async fn ended(&mut self) -> Result<ExitStatus> {
        let mut changes = signal(SignalKind::child())?;
        while self.leader.id().is_some() && !self.has_ended()? {
            changes.recv().await;
        }
        self.kill();
        Ok(self.leader.wait().await?)
    }

    /// Whether the leader has ended. The call does not reap it, so its id stays reserved.
    fn has_ended(&self) -> io::Result<bool> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let ended = self.id.map(|id| waitid(WaitId::Pid(id), options));
        Ok(ended.transpose()?.flatten().is_some())
    }

    /// Kills all processes of the group. Once the leader has been reaped, it does nothing, because the id may belong to
    /// another group by then.
    fn kill(&self) {
        if let Some(id) = self.id.filter(|_| self.leader.id().is_some()) {
            // An error means that the processes have ended already.
            let _ = kill_process_group(id, Signal::KILL);
        }
    }

    /// Waits until the leader ends.
    pub async fn status(mut self) -> Result<ExitStatus> {
        self.ended().await
    }

    /// Waits until the leader ends, and returns what it has printed to pipes.
    pub async fn output(mut self) -> Result<Output> {
        let (stdout, stderr) = (self.leader.stdout.take(), self.leader.stderr.take());
        let (stdout, stderr, status) = tokio::try_join!(read(stdout), read(stderr), self.ended())?;
        Ok(Output {
            status,
            stdout,
            stderr,
        })
    }
}

async fn read(pipe: Option<impl AsyncRead + Unpin>) -> Result<Vec<u8>> {
    let mut text = Vec::new();
    if let Some(mut pipe) = pipe {
        pipe.read_to_end(&mut text).await?;
    }
    Ok(text)
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
        let Some(group) = self.id else {
            return;
        };
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
    async fn dropping_a_group_ends_the_processes_that_its_leader_started() {
        let mut shell = environment::bare("/bin/sh");
        shell.args(["-c", "/bin/sleep 1000 & echo started; wait"]);
        let mut group = Group::start(shell.stdout(Stdio::piped())).unwrap();
        let mut lines = BufReader::new(group.leader().stdout.take().unwrap()).lines();
        assert_eq!(lines.next_line().await.unwrap().unwrap(), "started");
        drop(group);
        // The pipe ends when no process has it open.
        let end = timeout(Duration::from_secs(10), lines.next_line()).await;
        assert_eq!(end.unwrap().unwrap(), None);
    }

    #[tokio::test]
    async fn when_the_leader_ends_the_processes_that_it_leaves_behind_are_killed() {
        // `sleep` has the pipe open as well. The pipe ends when `sleep` is killed.
        let start = || {
            let mut shell = environment::bare("/bin/sh");
            shell.args(["-c", "/bin/sleep 1000 & echo out; exit 3"]);
            Group::start(shell.stdout(Stdio::piped())).unwrap()
        };
        let limit = Duration::from_secs(10);
        let mut group = start();
        let mut stdout = group.leader().stdout.take().unwrap();
        for _ in 0..2 {
            assert_eq!(group.ended().await.unwrap().code(), Some(3));
        }
        let mut text = Vec::new();
        let end = timeout(limit, stdout.read_to_end(&mut text)).await;
        assert_eq!((end.unwrap().unwrap(), text.as_slice()), (4, &b"out\n"[..]));
        let output = timeout(limit, start().output()).await.unwrap().unwrap();
        assert_eq!((output.status.code(), output.stdout), (Some(3), text));
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
