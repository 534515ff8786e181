//! `hookward config effective`: the configuration in force.

use std::path::PathBuf;

use super::origin::load_file;
use super::print;

/// Prints it. 78 if the file is not good.
pub fn run(path: Option<PathBuf>) -> u8 {
    match load_file(path) {
        Ok((_, config)) => {
            print(&config.effective);
            0
        }
        Err(code) => code,
    }
}
