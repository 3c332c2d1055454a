//! Operators' commands over the HTTP API.
/// c
#[derive(clap::Subcommand, Debug)]
pub enum Command {
    /// s
    Status,
}
/// r
pub async fn run(_c: Command) -> std::process::ExitCode {
    std::process::ExitCode::SUCCESS
}
