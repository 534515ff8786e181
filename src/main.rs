use std::process::ExitCode;

fn main() -> ExitCode {
    hookward::cli::run()
}
