//! Invocations as Lambda makes them, with their log.

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

/// The most that a state hands on.
const PAYLOAD: usize = 262_144;

/// One invocation as Lambda makes it, held to what is so whatever it is given: a refusal has a name
/// and says the cure, an answer fits a state's payload, and no text from outside breaks or forges a
/// line of the message or of the log. What the handler waits for takes no time.
///
/// # Errors
/// The function's answer.
pub fn invoke<I, O, F>(handler: impl Fn(I) -> F, payload: &Value) -> Result<O, Diagnostic>
where
    I: DeserializeOwned,
    O: Serialize,
    F: Future<Output = Result<O, StepError>>,
{
    let log = Log::default();
    let writer = log.clone();
    let answer = step::invoke(handler, payload, "request-1")
        .with_subscriber(json_lines(Level::INFO, move || writer.clone()));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let answer = runtime.block_on(answer);
    log.assert_one_object_a_line();
    match &answer {
        Ok(output) => {
            let length = serde_json::to_vec(output).unwrap().len();
            assert!(length <= PAYLOAD, "{length} bytes are handed on");
        }
        Err(refused) => {
            let message = &refused.error_message;
            let name = ErrorName::ALL
                .into_iter()
                .find(|name| name.as_str() == refused.error_type)
                .expect("a documented name");
            assert!(message.contains(name.instructions()), "no cure: {message}");
            assert!(is_plain_line(message), "{message:?}");
            let last = log.0.lock().unwrap().pop().expect("a log");
            assert!(last.contains("\"error_name\""), "{last}");
        }
    }
    answer
}

/// What was written, line by line as one writes it.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    /// Each of the log's writes is one line: a text that could break it would make two.
    fn assert_one_object_a_line(&self) {
        for line in self.0.lock().unwrap().iter() {
            let line = line.strip_suffix('\n').expect("a whole line");
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
