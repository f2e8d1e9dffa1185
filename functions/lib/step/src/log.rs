//! The log: one JSON object a line.

use std::fmt::Write as _;
use std::io::{self, Write};

use tracing::{Level, Subscriber};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt;

use crate::step_error::is_deceptive;

/// Writes the log, from `level` upwards, to what `writer` gives for each line.
pub fn json_lines<W: Write + 'static>(
    level: Level,
    writer: impl Fn() -> W + Send + Sync + 'static,
) -> impl Subscriber + Send + Sync {
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_target(false)
        .with_span_list(false)
        .with_max_level(level)
        .with_writer(move || Escaping(writer()))
        .finish()
        // The runtime repeats each error of `run`, without saying which run it is about.
        .with(filter_fn(|line| {
            line.target() != "lambda_runtime::layers::api_response"
        }))
}

/// Escapes what JSON may leave as it is, but what a terminal obeys or a person does not see. Such
/// characters stand in strings alone.
struct Escaping<W>(W);

impl<W: Write> Write for Escaping<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut escaped = String::with_capacity(line.len());
        for c in String::from_utf8_lossy(line).chars() {
            if c != '\n' && is_deceptive(c) {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    let _ = write!(escaped, "\\u{unit:04x}");
                }
            } else {
                escaped.push(c);
            }
        }
        self.0.write_all(escaped.as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
