//! The log: one JSON object per line.

use std::fmt::Write as _;
use std::io::{self, Write};

use tracing::{Level, Subscriber};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt;

use crate::step_error::is_deceptive;

/// Creates a subscriber that writes each event of at least this `level` as one line. `writer` returns the writer for
/// the line.
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
        // `lambda_runtime` also logs each error of an invocation, but without the fields of the span.
        .with(filter_fn(|event| {
            event.target() != "lambda_runtime::layers::api_response"
        }))
}

/// Escapes control characters and invisible characters that JSON allows in a string. A terminal could interpret them,
/// or a reader could overlook them. They occur only inside JSON strings, so the result is valid JSON.
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
