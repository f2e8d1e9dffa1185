//! Invokes a handler as Lambda does, and checks the response and the log.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use contract::ErrorName;
use lambda_runtime::Diagnostic;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use step::{StepError, json_lines};
use tracing::Level;
use tracing::instrument::WithSubscriber;

use crate::hostile::is_plain_line;

/// The maximum size of a state's output, in bytes.
const MAX_PAYLOAD: usize = 262_144;

/// Invokes the handler as Lambda does, with the clock of the runtime paused. Checks what has to hold for every payload:
///
/// - An error has a documented name, and its message contains the remedy.
/// - An output fits into the payload of a state.
/// - No text from outside breaks or forges a line in the message or in the log.
///
/// # Errors
/// Returns the error that Lambda would report.
pub fn invoke<I, O, F>(handler: impl Fn(I) -> F, payload: &Value) -> Result<O, Diagnostic>
where
    I: DeserializeOwned,
    O: Serialize,
    F: Future<Output = Result<O, StepError>>,
{
    let log = Log::default();
    let writer = log.clone();
    let invocation = step::invoke(handler, payload, "request-1")
        .with_subscriber(json_lines(Level::INFO, move || writer.clone()));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let result = runtime.block_on(invocation);
    log.assert_one_object_per_line();
    match &result {
        Ok(output) => {
            let length = serde_json::to_vec(output).unwrap().len();
            assert!(length <= MAX_PAYLOAD, "the output has {length} bytes");
        }
        Err(error) => {
            let message = &error.error_message;
            let name = ErrorName::ALL
                .into_iter()
                .find(|name| name.as_str() == error.error_type)
                .expect("a documented name");
            let (redrive, replay) = (name.instructions(), name.replay_instructions());
            let has_remedy = message.contains(redrive) || message.contains(replay);
            assert!(has_remedy, "no remedy: {message}");
            assert!(is_plain_line(message), "{message:?}");
            let last = log.0.lock().unwrap().pop().expect("a log");
            assert!(last.contains("\"error_name\""), "{last}");
        }
    }
    result
}

/// The log, with one entry for each write.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    /// Asserts that each write is one line with one JSON object.
    fn assert_one_object_per_line(&self) {
        for line in self.0.lock().unwrap().iter() {
            let line = line.strip_suffix('\n').expect("a line break at the end");
            assert!(is_plain_line(line), "{line:?}");
            let fields: Value = serde_json::from_str(line).unwrap();
            assert_eq!(fields["span"]["request_id"], "request-1", "{line}");
        }
    }
}

impl Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = std::str::from_utf8(line).expect("text");
        self.0.lock().unwrap().push(text.to_owned());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
