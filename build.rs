//! Lists the files of `presets/`, so that a new provider is one new file.

use std::fmt::Write;
use std::path::Path;
use std::{env, fs, io};

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=presets");
    let folder = Path::new(&env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it")).join("presets");
    let mut files: Vec<_> = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == "toml"));
    // By slug: as paths, `a-b.toml` comes before `a.toml`.
    files.sort_by_key(|file| file.file_stem().map(ToOwned::to_owned));
    let mut list = String::from("[\n");
    for file in &files {
        let slug = file.file_stem().expect("a file's name").to_string_lossy();
        let _ = writeln!(list, "    ({slug:?}, include_str!({:?})),", file.display().to_string());
    }
    list.push(']');
    fs::write(Path::new(&env::var_os("OUT_DIR").expect("cargo sets it")).join("presets.rs"), list)
}
