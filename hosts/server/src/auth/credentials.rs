//! The root access key: from the environment, or created at the first start and stored in the data folder in the format
//! of AWS credentials files.

use std::{
    fmt, fs,
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use crate::disk::{Links, open_regular, read_text, sync_folder};

/// Environment variable of the key's id.
pub const ACCESS_KEY_ID: &str = "TINTYPE_ACCESS_KEY_ID";
/// Environment variable of its secret.
pub const SECRET_ACCESS_KEY: &str = "TINTYPE_SECRET_ACCESS_KEY";

/// The shortest secret in characters, so that it cannot be guessed.
const SHORTEST_SECRET: usize = 16;

/// An access key. Its `Debug` never shows the secret.
#[derive(Clone)]
pub struct Credentials {
    /// The id, no secret.
    pub access_key_id: String,
    secret: String,
    /// The file it is stored in, unless it came from the environment.
    pub file: Option<PathBuf>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("access_key_id", &self.access_key_id).finish_non_exhaustive()
    }
}

impl Credentials {
    /// A key that is stored nowhere.
    pub fn new(access_key_id: impl Into<String>, secret: impl Into<String>) -> Self {
        Self { access_key_id: access_key_id.into(), secret: secret.into(), file: None }
    }

    /// The secret, for signing.
    #[must_use]
    pub fn secret_access_key(&self) -> &str {
        &self.secret
    }

    /// From `given` (the values of the environment's two variables), the data folder's file, or created and stored there.
    ///
    /// # Errors
    /// Only one of the variables is set, the secret is too short, or the file cannot be read, parsed or written.
    pub fn load_or_create(folder: &Path, given: (Option<String>, Option<String>)) -> io::Result<Self> {
        match given {
            (Some(access_key_id), Some(secret)) if !access_key_id.is_empty() && !secret.is_empty() => {
                return Self::new(access_key_id, secret).checked();
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
            Ok(text) => Self::parse(&text, file)?.checked(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::create(file),
            Err(error) => Err(io::Error::new(
                error.kind(),
                format!(
                    "{}: {error}; put the file itself there, or set {ACCESS_KEY_ID} and {SECRET_ACCESS_KEY}",
                    file.display()
                ),
            )),
        }
    }

    /// This key, if its secret is long enough.
    fn checked(self) -> io::Result<Self> {
        let length = self.secret.chars().count();
        if length >= SHORTEST_SECRET {
            return Ok(self);
        }
        let setting = match &self.file {
            Some(file) => format!("aws_secret_access_key in {}", file.display()),
            None => SECRET_ACCESS_KEY.to_owned(),
        };
        Err(io::Error::other(format!(
            "{setting} has {length} characters; write at least {SHORTEST_SECRET}, as from \"openssl rand -hex 20\""
        )))
    }

    /// The key a command uses: from `given` or the data folder's file; none is created.
    #[must_use]
    pub fn known(folder: &Path, given: (Option<String>, Option<String>)) -> Option<Self> {
        if let (Some(access_key_id), Some(secret)) = given {
            return Some(Self::new(access_key_id, secret));
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
                "{} holds no aws_access_key_id and aws_secret_access_key; remove it to have a new key created",
                file.display()
            ))),
        }
    }

    /// A random pair that is stored nowhere.
    ///
    /// # Errors
    /// The system gives no randomness.
    pub fn generate() -> io::Result<Self> {
        let access_key_id = format!("TT{}", random_text(18, b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567")?);
        let secret = random_text(40, b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")?;
        Ok(Self::new(access_key_id, secret))
    }

    fn create(file: PathBuf) -> io::Result<Self> {
        let Self { access_key_id, secret, .. } = Self::generate()?;
        // A temporary file first, so that a crash leaves no half of a key.
        let temporary = file.with_extension("new");
        let mut new = fs::OpenOptions::new();
        let new = new.write(true).create(true).truncate(true).mode(0o600);
        let mut out = open_regular(&temporary, new, Links::Refuse)?;
        writeln!(out, "[default]\naws_access_key_id = {access_key_id}\naws_secret_access_key = {secret}")?;
        out.sync_all()?;
        fs::rename(&temporary, &file)?;
        if let Some(folder) = file.parent() {
            sync_folder(folder)?;
        }
        Ok(Self { access_key_id, secret, file: Some(file) })
    }
}

/// A secret of 240 random bits, in characters that need no escaping in cookies and URLs.
///
/// # Errors
/// The system gives no randomness.
pub fn token() -> io::Result<String> {
    random_text(40, b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
}

/// Random characters; the alphabets' lengths divide 256, so that each is as likely.
fn random_text(count: usize, alphabet: &[u8]) -> io::Result<String> {
    let mut random = vec![0; count];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    Ok(random.into_iter().map(|byte| char::from(alphabet[usize::from(byte) % alphabet.len()])).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn created_once_private_never_shown() {
        let folder = tempfile::tempdir().unwrap();
        let first = Credentials::load_or_create(folder.path(), (None, None)).unwrap();
        let again = Credentials::load_or_create(folder.path(), (None, None)).unwrap();
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
        let secret = "0123456789abcdef";
        let given =
            Credentials::load_or_create(folder.path(), (Some("id".into()), Some(secret.into()))).unwrap();
        assert_eq!(given.access_key_id, "id");
        assert!(!folder.path().join("credentials").exists());
        assert!(Credentials::load_or_create(folder.path(), (Some("id".into()), None)).is_err());
    }

    #[test]
    fn a_short_secret_is_refused_by_the_name_of_its_setting() {
        let folder = tempfile::tempdir().unwrap();
        let error = |given| Credentials::load_or_create(folder.path(), given).unwrap_err().to_string();
        let short = "0123456789abcde";
        let from_env = error((Some("id".into()), Some(short.into())));
        assert!(
            from_env.starts_with("TINTYPE_SECRET_ACCESS_KEY has 15 characters; write at least 16"),
            "{from_env}"
        );
        let text = format!("aws_access_key_id = id\naws_secret_access_key = {short}\n");
        fs::write(folder.path().join("credentials"), text).unwrap();
        let from_file = error((None, None));
        assert!(
            from_file.starts_with("aws_secret_access_key in ") && !from_file.contains(short),
            "{from_file}"
        );
    }
}
