//! What each refusal ends the step with.

use contract::ErrorName;
use shell::{Refusal, StepError};

/// `DescribeApplication` was refused.
pub(crate) fn describe_application(refusal: Refusal) -> StepError {
    let name = if refusal.is_gone() {
        ErrorName::ApplicationNotFound
    } else {
        refusal.flink_name()
    };
    refusal.into_error(name)
}

/// A page of the listing, or a look at one snapshot, was refused.
pub(crate) fn look(refusal: Refusal) -> StepError {
    let name = refusal.flink_name();
    refusal.into_error(name)
}
