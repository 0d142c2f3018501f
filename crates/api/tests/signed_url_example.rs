//! The example in Rust signs as the library does, and is the guide's.

#[expect(dead_code, reason = "it is a program of its own")]
#[path = "../examples/signed_url.rs"]
mod example;

#[test]
fn the_example_signs_as_the_library_does() {
    let secret = "write-16-characters-or-more";
    for parameters in [
        &[("key", "raw/chair.jpg"), ("size", "800x600")][..],
        &[("size", "5"), ("key", "a b+c/\u{fc}~.jpg"), ("download", "")],
        &[],
    ] {
        let key = tintype_api::settings::SigningKey::new("test", secret);
        let expected = tintype_api::signed_url::signed(&key, "/dev1/myimage", parameters, 4_102_444_800);
        assert_eq!(example::signed(secret, "/dev1/myimage", parameters, 4_102_444_800), expected);
    }
}

#[test]
fn the_guide_shows_the_example() {
    let code = include_str!("../examples/signed_url.rs").split_once("\n\n").unwrap().1;
    assert!(include_str!("../../../docs/guides/signed-urls.md").contains(code));
}
