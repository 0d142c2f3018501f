//! The root access key: from the environment, or made at the first start and kept in the data folder in
//! the format of AWS credentials files.

mod authenticator;

use std::{
    fmt, fs,
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

pub use authenticator::Authenticator;

use crate::disk::{Links, open_regular, read_text, sync_folder};

/// Environment variable of the key's id.
pub const ACCESS_KEY_ID: &str = "TINTYPE_ACCESS_KEY_ID";
/// Environment variable of its secret.
pub const SECRET_ACCESS_KEY: &str = "TINTYPE_SECRET_ACCESS_KEY";

/// An access key. Its `Debug` never shows the secret.
#[derive(Clone)]
pub struct Credentials {
    /// The id, no secret.
    pub access_key_id: String,
    secret: String,
    /// The file it is kept in, unless it came from the environment.
    pub file: Option<PathBuf>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("access_key_id", &self.access_key_id).finish_non_exhaustive()
    }
}

impl Credentials {
    /// The secret, for signing.
    #[must_use]
    pub fn secret_access_key(&self) -> String {
        self.secret.clone()
    }

    /// From `given` (the values of the environment's two variables), the data folder's file, or made new and kept there.
    ///
    /// # Errors
    /// Only one of the variables is set, or the file cannot be read, understood or written.
    pub fn load_or_make(folder: &Path, given: (Option<String>, Option<String>)) -> io::Result<Self> {
        match given {
            (Some(access_key_id), Some(secret)) if !access_key_id.is_empty() && !secret.is_empty() => {
                return Ok(Self { access_key_id, secret, file: None });
            }
            (None, None) => {}
            _ => {
                return Err(io::Error::other(format!(
                    "set both {ACCESS_KEY_ID} and {SECRET_ACCESS_KEY}, or neither"
                )));
            }
        }
        let file = folder.join("credentials");
        match read_text(&file) {
            Ok(text) => Self::parse(&text, file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::make(file),
            Err(error) => Err(io::Error::new(
                error.kind(),
                format!(
                    "{}: {error}; put the file itself there, or set {ACCESS_KEY_ID} and {SECRET_ACCESS_KEY}",
                    file.display()
                ),
            )),
        }
    }

    /// The key a command uses: from `given` or the data folder's file; none is made.
    #[must_use]
    pub fn known(folder: &Path, given: (Option<String>, Option<String>)) -> Option<Self> {
        if let (Some(access_key_id), Some(secret)) = given {
            return Some(Self { access_key_id, secret, file: None });
        }
        let file = folder.join("credentials");
        Self::parse(&read_text(&file).ok()?, file).ok()
    }

    fn parse(text: &str, file: PathBuf) -> io::Result<Self> {
        let value = |name: &str| {
            text.lines().find_map(|line| {
                let (key, value) = line.split_once('=')?;
                (key.trim() == name).then(|| value.trim().to_owned())
            })
        };
        match (value("aws_access_key_id"), value("aws_secret_access_key")) {
            (Some(access_key_id), Some(secret)) => Ok(Self { access_key_id, secret, file: Some(file) }),
            _ => Err(io::Error::other(format!(
                "{} holds no aws_access_key_id and aws_secret_access_key; remove it to have a new key made",
                file.display()
            ))),
        }
    }

    fn make(file: PathBuf) -> io::Result<Self> {
        let access_key_id = format!("TT{}", letters(18, b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567")?);
        let secret = letters(40, b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")?;
        // Written aside, so that a crash leaves no half of a key.
        let aside = file.with_extension("new");
        let mut new = fs::OpenOptions::new();
        let new = new.write(true).create(true).truncate(true).mode(0o600);
        let mut out = open_regular(&aside, new, Links::Refuse)?;
        writeln!(out, "[default]\naws_access_key_id = {access_key_id}\naws_secret_access_key = {secret}")?;
        out.sync_all()?;
        fs::rename(&aside, &file)?;
        if let Some(folder) = file.parent() {
            sync_folder(folder)?;
        }
        Ok(Self { access_key_id, secret, file: Some(file) })
    }
}

/// A text that nobody guesses: 240 random bits, in characters that stand in cookies and URLs as they are.
///
/// # Errors
/// The system gives no randomness.
pub fn token() -> io::Result<String> {
    letters(40, b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
}

/// Random characters; the alphabets' lengths divide 256, so that none is likelier than another.
fn letters(count: usize, alphabet: &[u8]) -> io::Result<String> {
    let mut random = vec![0; count];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    Ok(random.into_iter().map(|byte| char::from(alphabet[usize::from(byte) % alphabet.len()])).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn made_once_kept_private_never_shown() {
        let folder = tempfile::tempdir().unwrap();
        let first = Credentials::load_or_make(folder.path(), (None, None)).unwrap();
        let again = Credentials::load_or_make(folder.path(), (None, None)).unwrap();
        assert_eq!(first.access_key_id, again.access_key_id);
        assert_eq!(first.secret, again.secret);
        assert_eq!(first.secret.len(), 40);
        let mode = fs::metadata(folder.path().join("credentials")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(!format!("{first:?}").contains(&first.secret));
    }

    #[test]
    fn the_environment_comes_first_and_whole() {
        let folder = tempfile::tempdir().unwrap();
        let given =
            Credentials::load_or_make(folder.path(), (Some("id".into()), Some("secret".into()))).unwrap();
        assert_eq!(given.access_key_id, "id");
        assert!(!folder.path().join("credentials").exists());
        assert!(Credentials::load_or_make(folder.path(), (Some("id".into()), None)).is_err());
    }
}
