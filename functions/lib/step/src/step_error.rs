//! The error of a step.

use contract::{ErrorName, RunInput};
use icu_properties::props::{BinaryProperty, DefaultIgnorableCodePoint};
use serde::Deserialize;
use serde_json::Value;

/// The error of a step: the name, which the retriers of the state machine match, and the fact. [`StepError::message`]
/// adds the remedy and the command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepError {
    /// The `errorType` in the function's response.
    pub name: ErrorName,
    /// What happened, in one or more sentences, without the remedy.
    pub fact: String,
}

impl StepError {
    /// Creates an error with this name.
    pub fn new(name: ErrorName, fact: impl Into<String>) -> Self {
        Self {
            name,
            fact: fact.into(),
        }
    }

    /// Creates an error with the name `Unexpected`, which is for all errors without a more specific name.
    pub fn unexpected(fact: impl Into<String>) -> Self {
        Self::new(ErrorName::Unexpected, fact)
    }

    /// Builds the `errorMessage` in the function's response: the fact, the remedy, and the command that redrives the
    /// execution or starts a new one. `payload` is the payload of the invocation. If the payload is an event from
    /// EventBridge, the remedy is to replay the event, and there is no command.
    #[must_use]
    pub fn message(&self, payload: &Value) -> String {
        let find = |pointers: &[&str]| pointers.iter().find_map(|at| payload.pointer(at));
        // The length of the whole message is limited. A short fact leaves room for the command.
        let fact: String = bounded_line(&self.fact).chars().take(1_000).collect();
        if let Some(ended) = payload
            .pointer("/detail/executionArn")
            .and_then(Value::as_str)
        {
            return format!(
                "{fact} {} The event is about the execution {}. If all attempts fail, the event goes to the queue in the stack's output RecordAndNotifyFailureQueueUrl.",
                self.name.replay_instructions(),
                bounded_line(ended),
            );
        }
        // The payload of `CreateSnapshot` has no `run`. That of `RecordAndNotify` has it in `done`.
        let execution_arn = find(&[
            "/run/execution_arn",
            "/done/run/execution_arn",
            "/execution_arn",
        ]);
        let Some(execution_arn) = execution_arn.and_then(Value::as_str) else {
            return format!("{fact} {}", self.name.instructions());
        };
        let input = find(&["/run/input", "/done/run/input", "/input"])
            .and_then(|input| RunInput::deserialize(input).ok());
        let mut command = self.name.command(execution_arn, input.as_ref());
        // An input with many names in keep_names makes the command too long. The command then has a placeholder for the
        // input, because a truncated command would not work.
        if command.len() > 2_000 {
            command = self.name.command(execution_arn, None);
        }
        let command = bounded_line(&command);
        format!("{fact} {} Command: {command}", self.name.instructions())
    }
}

/// Makes `text` one line of at most 4,000 characters, which is the limit for the message of a step.
///
/// Line breaks, other control characters, and characters that hide or reorder text are replaced with spaces. So `text`
/// cannot forge a line in the log or in a message.
#[must_use]
pub fn bounded_line(text: &str) -> String {
    text.chars()
        .take(4_000)
        .map(|c| if is_deceptive(c) { ' ' } else { c })
        .collect()
}

/// Whether a character breaks the line, controls the terminal, is invisible, or changes the order in which the text
/// after it is displayed.
pub(crate) fn is_deceptive(c: char) -> bool {
    // Default_Ignorable_Code_Point is Unicode's property for invisible characters. The line separator and the paragraph
    // separator end a line. Many programs hide the text between the three annotation characters.
    c.is_control()
        || DefaultIgnorableCodePoint::for_char(c)
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{fff9}'..='\u{fffb}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_command_that_would_be_too_long_has_a_placeholder_for_the_input() {
        let error = StepError::new(ErrorName::SnapshotFailed, "x".repeat(10_000));
        let input = |names: usize| {
            let names = vec!["n".repeat(256); names];
            json!({ "application_name": "orders", "retention": { "keep_last": 1, "keep_names": names } })
        };
        for (names, shown) in [(1, "nnn"), (100, "<the run input>")] {
            let run = json!({ "execution_arn": "arn:aws:states:r:1:execution:m:n", "input": input(names) });
            let message = error.message(&json!({ "run": run }));
            assert!(
                message.contains(shown) && message.ends_with('\''),
                "{message}"
            );
            assert_eq!(bounded_line(&message), message);
        }
    }

    #[test]
    fn a_command_of_2000_characters_contains_the_input_and_a_longer_one_does_not() {
        let execution_arn = "arn:aws:states:r:1:execution:m:n";
        let error = StepError::new(ErrorName::SnapshotFailed, "It failed.");
        let name = |length: usize| "n".repeat(length);
        let with = |last: usize| {
            let mut names = vec![name(256); 6];
            names.push(name(last));
            json!({ "application_name": "orders", "retention": { "keep_last": 1, "keep_names": names } })
        };
        let length = |last| {
            let input: RunInput = serde_json::from_value(with(last)).unwrap();
            error.name.command(execution_arn, Some(&input)).len()
        };
        let longest = 1 + 2_000 - length(1);
        assert_eq!(length(longest), 2_000);
        for (last, is_whole) in [(longest, true), (longest + 1, false)] {
            let run = json!({ "execution_arn": execution_arn, "input": with(last) });
            let message = error.message(&json!({ "run": run }));
            assert_eq!(message.contains(&name(256)), is_whole, "{message}");
        }
    }

    #[test]
    fn a_message_states_the_fact_the_remedy_and_the_command() {
        let error = StepError::new(ErrorName::SnapshotsDisabled, "orders takes none.");
        let payload = json!({ "execution_arn": "arn:aws:states:r:1:execution:m:n" });
        assert_eq!(
            error.message(&payload),
            format!(
                "orders takes none. {} Command: aws stepfunctions redrive-execution \
                 --execution-arn arn:aws:states:r:1:execution:m:n --region r",
                ErrorName::SnapshotsDisabled.instructions()
            )
        );
    }

    #[test]
    fn the_message_about_an_event_says_to_replay_the_event_and_not_to_redrive() {
        let event = json!({ "detail": { "executionArn": "arn:aws:states:r:1:execution:m:n" } });
        let error = StepError::new(ErrorName::TopicNotFound, "The topic t does not exist.");
        assert_eq!(
            error.message(&event),
            "The topic t does not exist. Create the topic, or correct the parameter RunTopicArn (the variable \
             TOPIC_ARN of record-and-notify), then replay the event. The event is about the execution \
             arn:aws:states:r:1:execution:m:n. If all attempts fail, the event goes to \
             the queue in the stack's output RecordAndNotifyFailureQueueUrl."
        );
        for name in ErrorName::ALL {
            let message = StepError::new(name, "A fact.").message(&event);
            assert!(!message.to_lowercase().contains("redrive"), "{message}");
        }
    }

    #[test]
    fn a_long_fact_does_not_truncate_the_command() {
        let error = StepError::unexpected("x".repeat(10_000));
        let execution_arn = format!(
            "arn:aws:states:r:1:execution:{}:{}",
            "m".repeat(80),
            "n".repeat(80)
        );
        let message = error.message(&json!({ "execution_arn": execution_arn }));
        assert!(message.ends_with(&format!("{execution_arn} --region r")));
        assert_eq!(bounded_line(&message), message);
    }

    #[test]
    fn characters_that_break_a_line_or_are_invisible_become_spaces() {
        for deceptive in [
            // Controls and separators.
            '\u{0}',
            '\n',
            '\u{1b}',
            '\u{7f}',
            '\u{85}',
            '\u{9b}',
            '\u{2028}',
            '\u{2029}',
            // Marks, embeddings, overrides and isolates of the direction of reading.
            '\u{61c}',
            '\u{200e}',
            '\u{202a}',
            '\u{202e}',
            '\u{2066}',
            '\u{2069}',
            // Fillers, joiners, selectors and what else has no width.
            '\u{ad}',
            '\u{34f}',
            '\u{115f}',
            '\u{1160}',
            '\u{17b4}',
            '\u{180b}',
            '\u{180e}',
            '\u{200b}',
            '\u{200d}',
            '\u{2060}',
            '\u{2065}',
            '\u{206a}',
            '\u{3164}',
            '\u{fe0f}',
            '\u{feff}',
            '\u{ffa0}',
            '\u{fff0}',
            '\u{fff9}',
            '\u{1bca0}',
            '\u{1d173}',
            '\u{e0001}',
            '\u{e0041}',
            '\u{e01ef}',
        ] {
            assert_eq!(
                bounded_line(&format!("a{deceptive}b")),
                "a b",
                "{deceptive:?}"
            );
        }
        let plain = "Zürich, 東京, \u{645}\u{648}, e\u{301}, 🦀 -> \"\\'`$~";
        assert_eq!(bounded_line(plain), plain);
    }

    #[test]
    fn text_from_outside_cannot_start_a_new_line() {
        let error = StepError::unexpected("a\nb\r\u{1b}[31mc\u{2028}d\u{85}e");
        assert_eq!(
            error.message(&json!({})),
            format!("a b  [31mc d e {}", ErrorName::Unexpected.instructions())
        );
    }
}
