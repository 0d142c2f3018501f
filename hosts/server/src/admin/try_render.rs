//! `/render`: an object rendered with options that are tried out; nothing is stored.

use axum::{
    body::Bytes,
    extract::State,
    http::{HeaderName, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use serde::{Deserialize, Serialize};
use tintype_api::{Deadline, Permission, Refused};
use tintype_engine::{Size, Spec};
use tintype_pipeline::{Failure, Reason};

use super::{Admin, Fields, Refusal, Request};
use crate::auth::{Action, caller};

/// One object and how it is to be rendered; what is left out is as in the default rendition.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RenderRequest {
    /// Its bucket; none: that of the first trigger.
    bucket: Option<String>,
    /// Its key.
    key: String,
    /// The box: `256`, `x200`, `400x300`.
    size: Option<String>,
    /// How the image meets it.
    fit: Option<String>,
    /// The format to write.
    format: Option<String>,
    /// From 1 to 100.
    quality: Option<u64>,
    /// Which part `cover` retains.
    gravity: Option<String>,
    /// Under transparency and around `contain`, in hexadecimal.
    background: Option<String>,
    /// How much work the encoder may do.
    effort: Option<String>,
    /// How much edges are sharpened, 0 to 100.
    sharpen: Option<u8>,
    /// Whether an animation is rendered as one.
    animate: Option<bool>,
    /// Differs by version, for the browser's cache.
    v: Option<String>,
}

/// Answered as bytes.
impl Request for RenderRequest {
    const METHOD: Method = Method::GET;
    const PATH: &'static str = "/render";
    const PERMISSION: Permission = Permission::Read;
    type Answer = ();
}

/// Sets an option that is given.
fn set<T: std::str::FromStr<Err = String>>(option: &mut T, given: Option<&String>) -> Result<(), Refusal> {
    if let Some(text) = given {
        *option = text.parse().map_err(Refusal::invalid)?;
    }
    Ok(())
}

impl RenderRequest {
    /// As options of the engine, within the API's bounds.
    fn spec(&self, admin: &Admin) -> Result<Spec, Refusal> {
        let api = &admin.parts.settings.api;
        let mut spec = Spec::default();
        set(&mut spec.size, self.size.as_ref())?;
        set(&mut spec.fit, self.fit.as_ref())?;
        set(&mut spec.format, self.format.as_ref())?;
        set(&mut spec.gravity, self.gravity.as_ref())?;
        set(&mut spec.background, self.background.as_ref())?;
        set(&mut spec.effort, self.effort.as_ref())?;
        spec.sharpen = self.sharpen.unwrap_or(spec.sharpen);
        spec.animate = self.animate.unwrap_or(spec.animate);
        if let Some(quality) = self.quality {
            let known = u8::try_from(quality).ok().filter(|quality| (1..=api.max_quality).contains(quality));
            spec.quality = known.ok_or_else(|| {
                Refusal::invalid(format!(
                    "quality {quality} is not 1 to {} (api.max_quality)",
                    api.max_quality
                ))
            })?;
        }
        let Size { width, height } = spec.size;
        let most = api.max_side;
        if [width, height].into_iter().flatten().any(|side| side > most) {
            let message = format!("size \"{}\" is larger than {most} on a side (api.max_side)", spec.size);
            return Err(Refusal::invalid(message));
        }
        // An open side follows from the image, which may be a thousand times as high as it is wide.
        spec.size = Size { width: width.or(Some(most)), height: height.or(Some(most)) };
        spec.validate().map_err(|error| Refusal::invalid(error.to_string()))?;
        Ok(spec)
    }
}

pub(super) async fn render(
    State(admin): State<Admin>,
    Fields(request): Fields<RenderRequest>,
) -> Result<Response, Refusal> {
    let at = admin.location(request.bucket.as_deref(), &request.key)?;
    caller::authorize(Action::GetObject, &at).map_err(Refusal::forbidden)?;
    let spec = request.spec(&admin)?;
    let deadline = Deadline::after(admin.parts.settings.function.timeout);
    let thumbnail =
        admin.parts.dispatcher.preview(at, spec, deadline).await.map_err(refused)?.map_err(failed)?;
    let pixels = format!("{}x{}", thumbnail.width, thumbnail.height);
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(thumbnail.format.media_type())),
        (header::CACHE_CONTROL, HeaderValue::from_static("private, max-age=300")),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; sandbox")),
        (
            HeaderName::from_static("x-tintype-pixels"),
            HeaderValue::from_str(&pixels).unwrap_or(HeaderValue::from_static("")),
        ),
    ];
    Ok((headers, Bytes::from(thumbnail.bytes)).into_response())
}

/// Why no worker did it.
pub(super) fn refused(refused: Refused) -> Refusal {
    Refusal::unavailable(match refused {
        Refused::Throttled => "too many requests wait; try again",
        Refused::TimedOut => "it took longer than function.timeout_s",
        Refused::ShuttingDown => "the server is shutting down",
    })
}

/// Why it could not be rendered.
pub(super) fn failed(failure: Failure) -> Refusal {
    let status = match failure.reason {
        Reason::Missing => StatusCode::NOT_FOUND,
        reason if reason.is_permanent() => StatusCode::UNPROCESSABLE_ENTITY,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    };
    Refusal { status, message: failure.to_string() }
}
