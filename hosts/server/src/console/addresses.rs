//! The addresses of an object's thumbnails: by each preset of the settings, and signed.

use maud::{Markup, html};
use tintype_api::{Public, image_url::ImageUrl};
use tintype_pipeline::{Location, ObjectKey, clock::now_ms};

use super::html::table;
use crate::{
    auth::{Action, caller},
    settings::Settings,
};

/// How long a signature is valid, as with `tintype url`.
const VALID_S: i64 = 7 * 86_400;

/// A table of them, to which the script adds the origin that the browser knows; none without presets and signing keys. Only who may get the object is shown signatures for it.
pub(super) fn section(settings: &Settings, bucket: &str, key: &str) -> Option<Markup> {
    let may_get = || {
        ObjectKey::new(key)
            .is_ok_and(|key| caller::allows(Action::GetObject, &Location { bucket: bucket.into(), key }))
    };
    let api = &settings.api;
    let signer = api.signing_keys.first().filter(|_| may_get());
    let expires_s = now_ms() / 1000 + VALID_S;
    let address = |url: ImageUrl, needs: Public| {
        let url = url.with("bucket", bucket);
        let (url, access) = match signer {
            _ if api.public >= needs => (url.unsigned(), "public"),
            Some(key) if api.public == Public::Signed => (url.signed(key, expires_s), "signed for 7 days"),
            _ => (url.unsigned(), "needs a key"),
        };
        (url, access)
    };
    let default = signer
        .filter(|_| api.public == Public::Signed)
        .map(|_| ("first rendition".to_owned(), address(ImageUrl::of_key(&api.path(), key), Public::All)));
    let presets = api.presets.iter().map(|preset| {
        let url = ImageUrl::of_preset(&api.path(), &preset.name, key);
        (format!("preset {}", preset.name), address(url, Public::Presets))
    });
    let addresses: Vec<_> = default.into_iter().chain(presets).collect();
    let rows = html! {
        @for (index, (name, (url, access))) in addresses.iter().enumerate() {
            tr {
                td { (name) }
                td {
                    code id={ "address-" (index) } data-address { (url) } " "
                    button data-copy={ "#address-" (index) } hidden { "Copy" }
                }
                td { (access) }
            }
        }
    };
    (!addresses.is_empty()).then(|| {
        html! {
            section aria-labelledby="addresses" {
                h2 #addresses { "Addresses" }
                (table("Table of addresses", &["Of", "URL", "Access"], rows))
            }
        }
    })
}
