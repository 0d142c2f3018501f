//! One event in, one answer out.

use std::sync::Arc;

use lambda_runtime::{Context, Diagnostic, LambdaEvent};
use serde_json::{Value, value::RawValue};
use tintype_function::Failure;

use crate::{deadline::Deadline, function::Function, records};

/// Handles whatever Lambda brings.
///
/// # Errors
/// What failed in a way that trying again may mend; Lambda then does as its retries say.
pub async fn handle(function: Arc<Function>, event: LambdaEvent<Box<RawValue>>) -> Result<Value, Diagnostic> {
    let LambdaEvent { payload, context } = event;
    let deadline = Deadline::before(context.deadline());
    let Context { request_id, .. } = context;
    records::handle(&function, &request_id, payload.get(), deadline).await.map_err(diagnostic)
}

/// The failure as Lambda shows it: its class by name, so that it can be searched for.
fn diagnostic(failure: Failure) -> Diagnostic {
    Diagnostic { error_type: format!("Tintype.{}", failure.reason.name()), error_message: failure.message }
}
