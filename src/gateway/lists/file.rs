//! The last good lists on a disk, for the next start.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::floor::judge;
use crate::clock::{UnixMillis, UnixTime};
use crate::network::{Networks, parse_net_of_any_size};

/// More is not read: a thousand lists of the longest kind have less.
const MAX_FILE: u64 = 64 << 20;

/// The only form there is.
const VERSION: u32 = 1;

/// All lists, as a file has them.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    version: u32,
    lists: Vec<KeptList>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeptList {
    pub provider: String,
    /// Where it was had: a list from elsewhere is another one.
    pub from: Vec<String>,
    /// In RFC 3339.
    pub fetched: String,
    pub networks: Vec<String>,
}

impl KeptList {
    /// A list as a file has it.
    pub fn of(provider: &str, from: Vec<String>, networks: &Networks, fetched: UnixTime) -> Self {
        let fetched = UnixMillis(fetched.0.saturating_mul(1000)).to_string();
        let networks = networks.iter().map(ToString::to_string).collect();
        Self { provider: provider.to_owned(), from, fetched, networks }
    }

    /// The list itself, judged like one that was fetched: a file can be damaged.
    ///
    /// # Errors
    /// What is wrong with it, as a fragment.
    pub fn read(&self) -> Result<(Networks, UnixTime), String> {
        let fetched = self.fetched.parse::<UnixMillis>()?;
        let nets = self.networks.iter().map(|net| parse_net_of_any_size(net)).collect::<Result<_, _>>()?;
        Ok((judge(nets)?, UnixTime(fetched.0 / 1000)))
    }
}

/// The lists in `file`; none where there is no such file yet.
///
/// # Errors
/// Why it cannot be read, as a fragment.
pub fn read(file: &Path) -> Result<Vec<KeptList>, String> {
    let opened = match File::open(file) {
        Ok(opened) => opened,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error.to_string()),
    };
    let mut text = String::new();
    opened.take(MAX_FILE).read_to_string(&mut text).map_err(|error| error.to_string())?;
    let kept: Kept = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    if kept.version == VERSION { Ok(kept.lists) } else { Err(format!("version {} is not known", kept.version)) }
}

/// Writes `lists` so that `file` has either all of them or what it had before, whatever happens meanwhile.
///
/// # Errors
/// What the system says.
pub fn write(file: &Path, lists: Vec<KeptList>) -> io::Result<()> {
    let text = serde_json::to_vec_pretty(&Kept { version: VERSION, lists })?;
    let name = file.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_string_lossy().into_owned();
    let beside = file.with_file_name(format!(".{name}.{}", std::process::id()));
    // Whose lists these are, and where they are had, is for the operator alone.
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let written = options.open(&beside).and_then(|mut opened| {
        opened.write_all(&text)?;
        opened.sync_all()?;
        std::fs::rename(&beside, file)
    });
    if written.is_err() {
        // What is left of it helps nobody; that it is there is no second fault.
        let _ = std::fs::remove_file(&beside);
        return written;
    }
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::parse_net;

    fn list() -> KeptList {
        let networks: Networks = ["8.8.8.0/24", "2600::/32"].map(|net| parse_net(net).expect("one")).to_vec().into();
        KeptList::of("acme", vec!["https://a.example/ips".to_owned()], &networks, UnixTime(1_760_000_000))
    }

    #[test]
    fn what_was_written_is_read_and_nothing_else_is_left() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("addresses.json");
        assert_eq!(read(&file).map(|lists| lists.len()), Ok(0), "there is none yet");
        for _ in 0..2 {
            write(&file, vec![list()]).expect("a writable folder");
        }
        let lists = read(&file).expect("the list");
        let (networks, fetched) = lists[0].read().expect("a good list");
        assert_eq!(
            (networks.to_string().as_str(), fetched),
            ("[\"8.8.8.0/24\", \"2600::/32\"]", UnixTime(1_760_000_000))
        );
        assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 1);
        assert!(write(&folder.path().join("no/such"), vec![list()]).is_err());
    }

    #[test]
    fn a_damaged_file_is_none() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("addresses.json");
        write(&file, vec![list()]).expect("a writable folder");
        let good = std::fs::read(&file).expect("it");
        for bad in [&good[..good.len() / 2], b"", b"{}", b"\xff", b"{\"version\":2,\"lists\":[]}"] {
            std::fs::write(&file, bad).expect("a writable folder");
            assert!(read(&file).is_err(), "{:?}", String::from_utf8_lossy(bad));
        }
        for bad in [vec!["0.0.0.0/0"], vec!["127.0.0.1"], vec![], vec!["x"]] {
            let networks = bad.iter().map(ToString::to_string).collect();
            assert!(KeptList { networks, ..list() }.read().is_err(), "{bad:?}");
        }
        assert!(KeptList { fetched: "yesterday".to_owned(), ..list() }.read().is_err());
    }
}
