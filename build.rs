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
    let mut list = format!("static EMBEDDED: [Embedded; {}] = [\n", files.len());
    for file in &files {
        let slug = file.file_stem().expect("a file's name").to_string_lossy();
        let text = fs::read_to_string(file)?;
        // Names are found without reading a preset. A test holds this against the presets as they are read.
        let aliases = text.lines().find_map(|line| line.strip_prefix("aliases = ")).unwrap_or("[]");
        let _ =
            writeln!(list, "    Embedded::new({slug:?}, &{aliases}, include_str!({:?})),", file.display().to_string());
    }
    list.push_str("];\n");
    fs::write(Path::new(&env::var_os("OUT_DIR").expect("cargo sets it")).join("presets.rs"), list)
}
