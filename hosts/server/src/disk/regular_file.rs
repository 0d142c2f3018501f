//! Opens regular files only: a FIFO or device in a file's place must not block, and no link may lead out of the data
//! folder.

use std::{
    fs::{self, File, FileType, OpenOptions},
    io::{self, ErrorKind, Read as _},
    os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _},
    path::Path,
};

use rustix::fs::OFlags;

/// The size limit of the small text files in a data folder.
const MAX_TEXT_BYTES: u64 = 64 << 10;

/// Whether a symbolic link is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Links {
    /// For paths that a user gives.
    Follow,
    /// For the data folder, where the server creates none.
    Refuse,
}

#[derive(Debug, thiserror::Error)]
#[error("it is {0}, not a regular file")]
struct WrongType(&'static str);

/// Opens a regular file; never waits for the other end of a FIFO.
///
/// # Errors
/// It is of another type ([`is_wrong_type`]), or cannot be opened.
pub fn open_regular(path: &Path, options: &mut OpenOptions, links: Links) -> io::Result<File> {
    let flags = match links {
        Links::Follow => OFlags::NONBLOCK,
        Links::Refuse => OFlags::NONBLOCK | OFlags::NOFOLLOW,
    };
    match options.custom_flags(flags.bits().cast_signed()).open(path) {
        Ok(file) => {
            check_regular(file.metadata()?.file_type())?;
            Ok(file)
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(error),
        Err(error) => {
            // The error of a link, socket or folder does not name the type.
            let metadata = match links {
                Links::Follow => fs::metadata(path),
                Links::Refuse => fs::symlink_metadata(path),
            };
            metadata.map_or(Ok(()), |metadata| check_regular(metadata.file_type()))?;
            Err(error)
        }
    }
}

/// Reads a small text file of the data folder.
///
/// # Errors
/// As for [`open_regular`]; or it is longer than 64 KiB or not UTF-8.
pub fn read_text(path: &Path) -> io::Result<String> {
    let file = open_regular(path, OpenOptions::new().read(true), Links::Refuse)?;
    let mut text = String::new();
    if file.take(MAX_TEXT_BYTES + 1).read_to_string(&mut text)? as u64 > MAX_TEXT_BYTES {
        let message = format!("it has more than {MAX_TEXT_BYTES} bytes");
        return Err(io::Error::new(ErrorKind::InvalidData, message));
    }
    Ok(text)
}

/// Refuses a link in place of a folder. Whether it exists and is a folder is not checked.
///
/// # Errors
/// It is a link.
pub fn check_no_link(folder: &Path) -> io::Result<()> {
    match fs::symlink_metadata(folder) {
        Ok(metadata) if metadata.is_symlink() => {
            let name = folder.file_name().unwrap_or_default().display();
            Err(io::Error::other(format!(
                "the folder {name} is a symbolic link, and none is followed out of the data folder: put the folder itself \
                 there; or move the whole data folder to a volume that holds it, and set \"data\" to it"
            )))
        }
        _ => Ok(()),
    }
}

/// Whether an error means that something other than a regular file is in a file's place; it counts as corruption.
#[must_use]
pub fn is_wrong_type(error: &io::Error) -> bool {
    error.get_ref().and_then(|inner| inner.downcast_ref::<WrongType>()).is_some()
}

fn check_regular(file_type: FileType) -> io::Result<()> {
    if file_type.is_file() { Ok(()) } else { Err(wrong_type(file_type)) }
}

fn wrong_type(found: FileType) -> io::Error {
    io::Error::other(WrongType(match found {
        found if found.is_symlink() => "a symbolic link",
        found if found.is_dir() => "a folder",
        found if found.is_fifo() => "a FIFO",
        found if found.is_socket() => "a socket",
        _ => "a device",
    }))
}

#[cfg(test)]
mod tests {
    use std::os::unix::{fs::symlink, net::UnixListener};

    use super::*;
    use crate::disk::{Disk as _, RealDisk};

    /// A path of each type; `/dev/zero`, because only root can create a device.
    fn wrong_types(folder: &Path) -> Vec<(&'static str, std::path::PathBuf)> {
        let at = |name: &str| folder.join(name);
        fs::write(at("regular"), "x").unwrap();
        symlink(at("regular"), at("link")).unwrap();
        symlink(at("nothing"), at("dangling")).unwrap();
        symlink("/dev/zero", at("link to a device")).unwrap();
        fs::create_dir(at("folder")).unwrap();
        drop(UnixListener::bind(at("socket")).unwrap());
        let fifo = std::process::Command::new("mkfifo").arg(at("fifo")).status().unwrap();
        assert!(fifo.success());
        [
            ("a symbolic link", "link"),
            ("a symbolic link", "dangling"),
            ("a symbolic link", "link to a device"),
            ("a folder", "folder"),
            ("a socket", "socket"),
            ("a FIFO", "fifo"),
        ]
        .map(|(description, name)| (description, at(name)))
        .into_iter()
        .chain([("a device", Path::new("/dev/zero").to_owned())])
        .collect()
    }

    #[test]
    fn only_regular_files_open() {
        let temporary = tempfile::tempdir().unwrap();
        for (description, path) in wrong_types(temporary.path()) {
            for opened in [RealDisk.open(&path), RealDisk.open_or_create(&path)] {
                let error = opened.expect_err(description);
                assert!(is_wrong_type(&error), "{error:?}");
                assert_eq!(error.to_string(), format!("it is {description}, not a regular file"));
            }
            assert!(is_wrong_type(&read_text(&path).expect_err(description)));
        }
        let missing = RealDisk.open(&temporary.path().join("nothing")).unwrap_err();
        assert_eq!((missing.kind(), is_wrong_type(&missing)), (ErrorKind::NotFound, false));
        RealDisk.open(&temporary.path().join("regular")).unwrap();
    }

    #[test]
    fn links_are_followed_to_regular_files_only() {
        let temporary = tempfile::tempdir().unwrap();
        let open = |path: &Path| open_regular(path, OpenOptions::new().read(true), Links::Follow);
        for (description, path) in wrong_types(temporary.path()) {
            match path.file_name().and_then(|name| name.to_str()).unwrap() {
                "link" => drop(open(&path).unwrap()),
                "dangling" => assert_eq!(open(&path).unwrap_err().kind(), ErrorKind::NotFound),
                "link to a device" => assert!(open(&path).unwrap_err().to_string().contains("a device")),
                _ => assert!(open(&path).unwrap_err().to_string().contains(description)),
            }
        }
    }

    #[test]
    fn nothing_is_read_or_created_in_a_linked_folder() {
        let temporary = tempfile::tempdir().unwrap();
        let (real, link) = (temporary.path().join("real"), temporary.path().join("link"));
        fs::create_dir(&real).unwrap();
        fs::write(real.join("there"), "x").unwrap();
        symlink(&real, &link).unwrap();
        for error in [
            RealDisk.open(&link.join("there")).expect_err("open"),
            RealDisk.create(&link.join("new")).expect_err("create"),
            RealDisk.open_or_create(&link.join("new")).expect_err("open or create"),
            RealDisk.list(&link).expect_err("list"),
            RealDisk.create_folder(&link).expect_err("create a folder"),
        ] {
            assert!(error.to_string().contains("the folder link is a symbolic link"), "{error}");
            assert!(!is_wrong_type(&error), "the files in it may be whole");
        }
        assert_eq!(RealDisk.list(&real).unwrap(), ["there"]);
    }

    #[test]
    fn the_length_of_a_text_file_is_bounded() {
        let temporary = tempfile::tempdir().unwrap();
        let path = temporary.path().join("text");
        fs::write(&path, "a line\n").unwrap();
        assert_eq!(read_text(&path).unwrap(), "a line\n");
        fs::write(&path, " ".repeat(MAX_TEXT_BYTES as usize + 1)).unwrap();
        assert!(read_text(&path).unwrap_err().to_string().contains("more than"));
    }
}
