//! `hookward config effective`: the configuration in force.

use std::path::PathBuf;

use super::origin::Origin;
use super::{BAD_CONFIG, USAGE, print};
use crate::config::environment::Environment;

/// Prints it. 78 if the file is not good.
pub fn run(path: Option<PathBuf>) -> u8 {
    let origin = match Origin::file(path) {
        Ok(origin) => origin,
        Err(why) => {
            eprintln!("error: {why}");
            return USAGE;
        }
    };
    match origin.load(&Environment::system()) {
        Ok(config) => {
            print(&config.effective);
            0
        }
        Err(error) => {
            eprint!("{}", error.report());
            BAD_CONFIG
        }
    }
}
