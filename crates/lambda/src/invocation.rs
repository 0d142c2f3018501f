//! One event in, one answer out.

use std::{pin::Pin, sync::Arc};

use lambda_runtime::{Context, Diagnostic, LambdaEvent};
use serde_json::{Value, value::RawValue};
use tintype_function::Failure;

use crate::{deadline::Deadline, function::Function, records};

/// An invocation under way; boxed, since its true type is deeper than the compiler cares to look.
pub type Invocation = Pin<Box<dyn Future<Output = Result<Value, Diagnostic>>>>;

/// Handles whatever Lambda brings. It fails where trying again may mend it; Lambda then does as its retries
/// say.
#[must_use]
pub fn handle(function: Arc<Function>, event: LambdaEvent<Box<RawValue>>) -> Invocation {
    Box::pin(async move {
        let LambdaEvent { payload, context } = event;
        let deadline = Deadline::before(context.deadline());
        let Context { request_id, .. } = context;
        let handled = records::handle(&function, &request_id, payload.get(), deadline).await;
        function.reporter.invocation_ends();
        handled.map_err(diagnostic)
    })
}

/// The failure as Lambda shows it: its class by name, so that it can be searched for.
fn diagnostic(failure: Failure) -> Diagnostic {
    Diagnostic { error_type: format!("Tintype.{}", failure.reason.name()), error_message: failure.message }
}
