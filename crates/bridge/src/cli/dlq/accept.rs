//! `data-bridge dlq accept`: lets a flood of dead letters through that instances hold back.

use std::io::Write;
use std::time::Duration;

use serde_json::{Value, json};

use super::super::screen::shown;
use crate::cli::{Exit, Settings, Stop};
use crate::config::Config;

/// How long an instance may take to answer.
const ANSWER: Duration = Duration::from_secs(5);

/// Let a held flood of dead letters of a route through
///
/// When most messages of a route become dead letters, instances slow it down to ten a second until
/// somebody has looked. This says: somebody has. Each instance decides for itself, so all of them
/// are asked; they must have a token (http.token), and it must be ours.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) settings: Settings,

    /// The route
    #[arg(value_name = "ROUTE")]
    route: String,

    /// An instance to ask, may be repeated [default: http.listen of the configuration]
    #[arg(long, value_name = "URL", value_parser = url)]
    url: Vec<String>,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

const HELP: &str = "\
Examples:
  data-bridge dlq accept ticks
  data-bridge dlq accept ticks --url http://127.0.0.1:9401 --url http://127.0.0.1:9402

Exit codes:
  0  accepted by an instance that held a flood
  1  no instance holds a flood of this route, or an instance refuses
  2  usage or configuration
  3  an instance cannot be reached";

fn url(text: &str) -> Result<String, String> {
    let is_http = text.starts_with("http://") || text.starts_with("https://");
    if is_http && text.parse::<reqwest::Url>().is_ok() {
        Ok(text.trim_end_matches('/').to_owned())
    } else {
        Err("write an URL such as http://127.0.0.1:9401".to_owned())
    }
}

/// What one instance said.
enum Said {
    Accepted,
    NoFlood,
    Refused(String),
    Away(String),
}

/// Asks the instances.
pub(super) fn execute(config: &Config, args: &Args) -> anyhow::Result<Exit> {
    if config.http.token.is_empty() {
        let what = "http.token is not set, and without one an instance can only be looked at";
        let hint =
            "set it for the instances and here, such as token: \"${file:/run/secrets/token}\"";
        return Err(Stop::new(Exit::Usage, what, hint).into());
    }
    let urls = if args.url.is_empty() {
        vec![format!("http://{}", config.http.listen)]
    } else {
        args.url.clone()
    };
    let runtime = crate::cli::runtime()?;
    crate::sink::clickhouse::install_crypto();
    let client = reqwest::Client::builder().no_proxy().timeout(ANSWER).build()?;
    let mut answers = Vec::new();
    for url in urls {
        let said = runtime.block_on(ask(&client, &url, config.http.token.expose(), &args.route));
        answers.push((url, said));
    }
    print(args, &answers)?;
    let any = |what: fn(&Said) -> bool| answers.iter().any(|(_, said)| what(said));
    Ok(if any(|said| matches!(said, Said::Away(_))) {
        Exit::Unreachable
    } else if any(|said| matches!(said, Said::Refused(_)))
        || !any(|said| matches!(said, Said::Accepted))
    {
        Exit::Failed
    } else {
        Exit::Done
    })
}

async fn ask(client: &reqwest::Client, url: &str, token: &str, route: &str) -> Said {
    let request = client.post(format!("{url}/api/dead-letters/accept"));
    let answer = request.query(&[("route", route)]).bearer_auth(token).send().await;
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            return Said::Away(cause.unwrap_or_else(|| error.to_string()));
        }
    };
    let status = answer.status();
    let text = answer.text().await.unwrap_or_default();
    let page: Option<Value> = serde_json::from_str(&text).ok();
    let accepted = page.as_ref().and_then(|page| page["accepted"].as_bool());
    match accepted {
        Some(true) if status.is_success() => Said::Accepted,
        Some(false) if status.is_success() => Said::NoFlood,
        Some(_) | None => Said::Refused(format!("{status}: {}", text.trim())),
    }
}

fn print(args: &Args, answers: &[(String, Said)]) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    if args.json {
        let pages = answers.iter().map(|(url, said)| {
            let (accepted, error) = match said {
                Said::Accepted => (true, None),
                Said::NoFlood => (false, None),
                Said::Refused(why) | Said::Away(why) => (false, Some(why)),
            };
            json!({"url": url, "accepted": accepted, "error": error})
        });
        let page = json!({"route": args.route, "instances": pages.collect::<Vec<_>>()});
        return writeln!(out, "{page:#}");
    }
    let route = shown(&args.route);
    for (url, said) in answers {
        let line = match said {
            Said::Accepted => format!("accepted    {url}: the flood of {route} goes through"),
            Said::NoFlood => format!("no flood    {url}: nothing of {route} is held back"),
            Said::Refused(why) => format!("REFUSED     {url}: {}", shown(why)),
            Said::Away(why) => format!("UNREACHABLE {url}: {}", shown(why)),
        };
        writeln!(out, "{line}")?;
    }
    Ok(())
}
