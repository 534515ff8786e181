//! What the embedded templates make of events. The seeds' messages stand here as their documentation has them, by the
//! numbers of the checklist that was made of it.

use std::collections::BTreeMap;

use hookward::clock::UnixMillis;
use hookward::signature::preset::Preset;
use hookward::template::{Facts, Template};
use serde_json::{Value, json};

/// VantaStatus, "Schema": the data of the sample event.
pub const VANTA_DATA: &str = r#"{"endpoint_id":"ep_msk_api_04","endpoint_name":"MSK-API-PROD","url":"https://api.example.ru/v2/health","previous_status":"up","current_status":"down","last_success":"2025-01-14T08:27:01Z","first_failure":"2025-01-14T08:32:17Z","failure_count":3,"last_response_code":502,"last_response_time_ms":null,"check_interval_sec":60,"group":"production"}"#;

/// VantaStatus, "Integrations", "Slack": what the sample event becomes.
pub const VANTA_SLACK: &str = r##"{
"channel": "#monitoring-alerts",
"username": "VantaStatus Bot",
"icon_emoji": ":warning:",
"blocks": [
{
"type": "header",
"text": {
"type": "plain_text",
"text": "🔴 MSK-API-PROD is DOWN"
}
},
{
"type": "section",
"fields": [
{
"type": "mrkdwn",
"text": "*URL:*\nhttps://api.example.ru/v2/health"
},
{
"type": "mrkdwn",
"text": "*Status:*\n502 Bad Gateway (3 failures)"
}
]
}
]
}"##;

const CYBERARK_EVENT: &str = r#"{"eventType":"CertificateExpiration","eventName":"Certificate Expiration","message":"Certificate api.example.com expires on 2025-02-01T00:00:00Z","criticality":1,"createdAt":"2025-01-15T12:45:00Z"}"#;
const CYBERARK_TEST: &str = r####"{"message":"### VAAS: TESTING CONNECTION... OK ###"}"####;

/// Teams takes no message that has more bytes.
const TEAMS_LIMIT: usize = 28 << 10;

fn preset(slug: &str, name: &str) -> Template {
    let preset = Preset::find(slug).expect("a preset");
    preset.profile.emission.templates.get(name).cloned().unwrap_or_else(|| panic!("{slug} has no {name}"))
}

fn general(name: &str) -> Template {
    Template::general().iter().find(|template| template.name() == name).cloned().expect("a template")
}

/// What `template` makes of an event, as it is written.
fn written(template: &Template, kind: &str, metadata: &[(&str, &str)], data: &str) -> String {
    let metadata: BTreeMap<String, String> =
        metadata.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let facts = Facts {
        id: "wh_evt_1",
        kind,
        timestamp: UnixMillis(1_736_843_537_000),
        account: "default",
        endpoint: "wh_1",
        metadata: &metadata,
        data: data.as_bytes(),
    };
    let body = template.render(&facts).unwrap_or_else(|wrong| panic!("{template:?}: {kind}: {wrong}"));
    String::from_utf8(body).expect("text")
}

fn made(template: &Template, kind: &str, metadata: &[(&str, &str)], data: &str) -> Value {
    serde_json::from_str(&written(template, kind, metadata, data)).expect("JSON")
}

/// The same JSON without the spaces between its parts.
pub fn compact(json: &str) -> String {
    json.lines().map(|line| line.replacen("\": ", "\":", 1)).collect()
}

/// A card in which `body` stands.
fn card(body: Value) -> Value {
    json!({"type": "message", "attachments": [{
        "contentType": "application/vnd.microsoft.card.adaptive",
        "content": {
            "type": "AdaptiveCard",
            "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
            "version": "1.4",
            "body": body,
        },
    }]})
}

#[test]
fn van_90_slack_gets_the_message_of_the_documentation() {
    let slack = preset("vantastatus", "slack");
    let body = written(&slack, "endpoint.down", &[], VANTA_DATA);
    assert_eq!(body, compact(VANTA_SLACK));
    let expected: Value = serde_json::from_str(VANTA_SLACK).expect("JSON");
    assert_eq!(serde_json::from_str::<Value>(&body).expect("JSON"), expected);
    let elsewhere = made(&slack, "endpoint.down", &[("channel", "#prod-incidents")], VANTA_DATA);
    assert_eq!(elsewhere["channel"], "#prod-incidents");
}

#[test]
fn van_90_every_event_has_a_title_whatever_it_lacks() {
    let slack = preset("vantastatus", "slack");
    let named = r#"{"endpoint_name":"A<&>","url":"https://a.example/?a=1&b=<!channel>","last_response_code":200,"last_response_time_ms":2310}"#;
    for (kind, title) in [
        ("endpoint.up", "🟢 A<&> is UP"),
        ("endpoint.down", "🔴 A<&> is DOWN"),
        ("endpoint.degraded", "🟡 A<&> is DEGRADED"),
        ("endpoint.certificate.expiring", "🟠 A<&>: the certificate expires soon"),
        ("endpoint.dns.changed", "🔵 A<&>: the DNS answer has changed"),
        ("endpoint.body.changed", "🔵 A<&>: the body has changed"),
        ("webhook.test", "A<&>: webhook.test"),
    ] {
        let message = made(&slack, kind, &[], named);
        assert_eq!(message["blocks"][0]["text"]["text"], title);
        let fields: Vec<&str> = message["blocks"][1]["fields"]
            .as_array()
            .expect("fields")
            .iter()
            .filter_map(|field| field["text"].as_str())
            .collect();
        let url = "*URL:*\nhttps://a.example/?a=1&amp;b=&lt;!channel&gt;";
        assert_eq!(fields, [url, "*Status:*\n200 OK", "*Response time:*\n2310 ms"], "{kind}");
        for data in ["{}", "null", "[]", "7", "\"x\"", r#"{"endpoint_name":null,"url":null,"failure_count":"many"}"#] {
            let message = made(&slack, kind, &[], data);
            assert!(message["blocks"][0]["text"]["text"].as_str().is_some_and(|title| title.contains("An endpoint")));
            assert_eq!(message["blocks"][1]["fields"][0]["text"], "*URL:*\nunknown");
        }
    }
    let status = |data: &str| made(&slack, "endpoint.down", &[], data)["blocks"][1]["fields"][1]["text"].clone();
    assert_eq!(status(r#"{"failure_count":1,"last_response_code":null}"#), "*Status:*\nno answer (1 failure)");
    assert_eq!(status(r#"{"last_response_code":599}"#), "*Status:*\n599");
}

#[test]
fn van_92_jira_gets_the_fields_of_the_documentation() {
    let jira = preset("vantastatus", "jira");
    let expected = json!({"fields": {
        "project": {"key": "OPS"},
        "issuetype": {"name": "Incident"},
        "summary": "MSK-API-PROD — down",
        "labels": ["monitoring", "production"],
        "description": "URL: https://api.example.ru/v2/health\nFailures: 3\nLast response: 502 Bad Gateway",
    }});
    assert_eq!(made(&jira, "endpoint.down", &[], VANTA_DATA), expected);
    let project = |metadata: &[(&str, &str)], data: &str| {
        made(&jira, "endpoint.down", metadata, data)["fields"]["project"]["key"].clone()
    };
    assert_eq!(project(&[], r#"{"group":"staging"}"#), "QA");
    assert_eq!(project(&[("project", "NET")], r#"{"group":"staging"}"#), "NET");
    let bare = made(&jira, "endpoint.up", &[("issue_type", "Bug")], r#"{"endpoint_name":"a\nb","group":"my group"}"#);
    assert_eq!(bare["fields"]["summary"], "a b — endpoint.up");
    assert_eq!(bare["fields"]["labels"], json!(["monitoring", "my-group"]));
    assert_eq!(bare["fields"]["issuetype"]["name"], "Bug");
    assert_eq!(made(&jira, "endpoint.up", &[], "{}")["fields"]["labels"], json!(["monitoring"]));
}

#[test]
fn vantastatus_says_the_same_to_teams() {
    let teams = preset("vantastatus", "teams");
    let fact = |title: &str, value: &str| json!({"title": title, "value": value});
    let expected = card(json!([
        {"type": "TextBlock", "text": "MSK-API-PROD — down", "size": "large", "weight": "bolder", "wrap": true, "color": "attention"},
        {"type": "FactSet", "facts": [
            fact("Event", "endpoint.down"),
            fact("URL", "https://api.example.ru/v2/health"),
            fact("Status", "502 Bad Gateway"),
            fact("Failures", "3"),
            fact("Group", "production"),
            fact("Time", "2025-01-14T08:32:17.000Z"),
        ]},
    ]));
    assert_eq!(made(&teams, "endpoint.down", &[], VANTA_DATA), expected);
    made(&teams, "endpoint.body.changed", &[], "{}");
}

#[test]
fn cyb_40_to_43_teams_gets_a_card_in_place_of_the_envelope() {
    let teams = preset("cyberark-vaas", "teams");
    let expected = |name: &str, message: &str, kind: &str, time: &str| {
        card(json!([
            {"type": "TextBlock", "text": name, "size": "large", "weight": "bolder", "wrap": true},
            {"type": "TextBlock", "text": message, "wrap": true},
            {"type": "FactSet", "facts": [{"title": "Type", "value": kind}, {"title": "Time", "value": time}]},
        ]))
    };
    let message = "Certificate api.example.com expires on 2025-02-01T00:00:00Z";
    assert_eq!(
        made(&teams, "CertificateExpiration", &[], CYBERARK_EVENT),
        expected("Certificate Expiration", message, "CertificateExpiration", "2025-01-15T12:45:00Z")
    );
    assert_eq!(
        made(&teams, "webhook.test", &[], CYBERARK_TEST),
        expected("webhook.test", "### VAAS: TESTING CONNECTION... OK ###", "webhook.test", "2025-01-14T08:32:17.000Z")
    );
    // The other reading of the same documentation has the same.
    assert_eq!(preset("cyberark-vaas-timestamped", "teams"), teams);
}

#[test]
fn cyb_43_no_card_is_too_long_for_teams() {
    // Six bytes each, once they stand in JSON.
    let longest = "\u{1}".repeat(40_000);
    let every = ["eventName", "eventType", "message", "createdAt", "url", "endpoint_name", "current_status", "group"];
    let data: serde_json::Map<String, Value> = every
        .iter()
        .map(|name| ((*name).to_owned(), json!(longest)))
        .chain([("n".repeat(128), json!(longest))])
        .collect();
    let data = Value::Object(data).to_string();
    for template in [preset("cyberark-vaas", "teams"), preset("vantastatus", "teams"), general("teams")] {
        let body = written(&template, &"k".repeat(128), &[], &data);
        assert!(body.len() < TEAMS_LIMIT, "{template:?}: {}", body.len());
    }
    let card = made(&preset("cyberark-vaas", "teams"), "a", &[], &json!({"message": "m".repeat(5000)}).to_string());
    let text = card["attachments"][0]["content"]["body"][1]["text"].as_str().expect("text").to_owned();
    assert!(text.ends_with("m…") && text.chars().count() == 3000);
}

#[test]
fn any_event_comes_out_in_the_shape_of_each_tool() {
    let data = r#"{"invoice": "in_1", "amount": 4200, "paid": true, "lines": [1], "note": "<!here>", "none": null}"#;
    let fields = json!([
        {"type": "mrkdwn", "text": "*invoice:*\nin_1"},
        {"type": "mrkdwn", "text": "*amount:*\n4200"},
        {"type": "mrkdwn", "text": "*paid:*\ntrue"},
        {"type": "mrkdwn", "text": "*note:*\n&lt;!here&gt;"},
    ]);
    let title = json!({"type": "header", "text": {"type": "plain_text", "text": "invoice.paid"}});
    let last =
        json!({"type": "context", "elements": [{"type": "mrkdwn", "text": "2025-01-14T08:32:17.000Z · wh_evt_1"}]});
    assert_eq!(
        made(&general("slack"), "invoice.paid", &[("channel", "#money")], data),
        json!({"channel": "#money", "text": "invoice.paid", "blocks": [title, {"type": "section", "fields": fields}, last]})
    );
    assert_eq!(
        made(&general("slack"), "invoice.paid", &[], "{}"),
        json!({"text": "invoice.paid", "blocks": [title, last]}),
        "Slack takes no section without fields"
    );
    let facts = json!([
        {"title": "invoice", "value": "in_1"},
        {"title": "amount", "value": "4200"},
        {"title": "paid", "value": "true"},
        {"title": "note", "value": "<!here>"},
        {"title": "timestamp", "value": "2025-01-14T08:32:17.000Z"},
        {"title": "id", "value": "wh_evt_1"},
    ]);
    assert_eq!(
        made(&general("teams"), "invoice.paid", &[], data),
        card(json!([
            {"type": "TextBlock", "text": "invoice.paid", "size": "large", "weight": "bolder", "wrap": true},
            {"type": "FactSet", "facts": facts},
        ]))
    );
    assert_eq!(
        made(&general("jira"), "invoice.paid", &[("project", "OPS")], "{ \"a\": [1.0] }"),
        json!({"fields": {
            "project": {"key": "OPS"},
            "issuetype": {"name": "Task"},
            "summary": "invoice.paid",
            "labels": ["hookward"],
            "description": "Event wh_evt_1 of 2025-01-14T08:32:17.000Z\n\n{\"a\":[1.0]}",
        }})
    );
}

#[test]
fn general_templates_take_any_data_and_bound_what_they_show() {
    let many: serde_json::Map<String, Value> = (0..5000).map(|at| (format!("k{at}"), json!("x".repeat(40)))).collect();
    let many = Value::Object(many).to_string();
    for name in ["slack", "teams", "jira"] {
        for data in ["null", "7", "\"text\"", "true", "[1,[2]]", "{}", &many] {
            let body = written(&general(name), "a.b", &[], data);
            assert!(body.len() < 40_000, "{name}: {}", body.len());
        }
    }
    let message = made(&general("slack"), "a.b", &[], &many);
    assert_eq!(message["blocks"][1]["fields"].as_array().map(Vec::len), Some(10), "Slack takes no more");
}

/// The blocks of docs/templates.md in this language.
fn blocks(language: &str) -> Vec<String> {
    let page = std::fs::read_to_string("docs/templates.md").expect("the page");
    let fence = format!("```{language}\n");
    page.split(&fence).skip(1).filter_map(|rest| Some(rest.split_once("```")?.0.to_owned())).collect()
}

#[test]
fn the_pages_example_makes_what_the_page_says() {
    let [template] = &blocks("jinja")[..] else { panic!("one template") };
    let [comes_out] = &blocks("json")[..] else { panic!("one message") };
    let template = Template::compile("pager", template).expect("a template");
    let data = r#"{"name": "api", "status": "down", "links": ["https://a.example/1"]}"#;
    let body = written(&template, "incident.opened", &[("team", "billing")], data);
    assert_eq!(body, comes_out.trim_end());
    assert!(template.try_out().is_ok());
    let page = std::fs::read_to_string("docs/templates.md").expect("the page");
    assert!(page.contains(&format!("`{data}`")));
}

#[test]
fn the_page_names_every_filter_and_test() {
    let page = std::fs::read_to_string("docs/templates.md").expect("the page");
    let source = std::fs::read_to_string("src/template/filters.rs").expect("the list");
    for line in source.lines() {
        let Some(name) = line.split_once("engine.add_").and_then(|(_, rest)| rest.split('"').nth(1)) else { continue };
        assert!(page.contains(&format!("`{name}`")) || page.contains(&format!("`{name}(")), "{name}");
    }
}
