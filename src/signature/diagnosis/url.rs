//! URLs as the provider might know this request's.

use crate::signature::request::{Head, UrlPart};

/// Other URLs that the request may have been sent to: other scheme, host, port, path, query.
pub fn variants(head: Head<'_>) -> impl Iterator<Item = String> {
    let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let host = head.url.part(UrlPart::Host).concat();
    let bare = host
        .rsplit_once(':')
        .filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()))
        .map_or(host.as_str(), |(bare, _)| bare);
    let mut hosts = vec![host.clone(), bare.to_owned()];
    hosts.extend(["x-forwarded-host", "x-original-host", "host"].into_iter().filter_map(header));
    let ports: Vec<String> = hosts
        .iter()
        .filter(|host| !host.contains(':'))
        .flat_map(|host| ["443", "80", "8080", "3000"].map(|port| format!("{host}:{port}")))
        .collect();
    hosts.extend(ports);

    let path = head.url.part(UrlPart::Path).concat();
    let mut paths = vec![path.clone()];
    paths.push(path.strip_suffix('/').map_or_else(|| format!("{path}/"), str::to_owned));
    if let Some(prefix) = header("x-forwarded-prefix") {
        paths.push(format!("{}{path}", prefix.trim_end_matches('/')));
    }
    for name in ["x-original-uri", "x-original-url", "x-envoy-original-path", "x-forwarded-uri"] {
        if let Some(target) = header(name) {
            let target = target
                .split_once("://")
                .map_or(target.as_str(), |(_, rest)| rest.find('/').map_or("/", |at| &rest[at..]));
            paths.push(target.split('?').next().unwrap_or_default().to_owned());
        }
    }
    let mut queries = vec![head.url.query.map_or_else(String::new, |query| format!("?{query}")), String::new()];
    queries.dedup();

    let mut urls = Vec::new();
    for query in &queries {
        for path in &paths {
            for host in &hosts {
                urls.extend(["https", "http"].map(|scheme| format!("{scheme}://{host}{path}{query}")));
            }
        }
    }
    urls.into_iter()
}
