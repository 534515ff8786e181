use proptest::prelude::*;

use super::*;

fn compile(text: &str) -> Template {
    Template::compile("t", text).unwrap_or_else(|wrong| panic!("{text}: {wrong}"))
}

fn render(text: &str, data: &str) -> Result<String, String> {
    let metadata = BTreeMap::from([("channel".to_owned(), "#ops".to_owned())]);
    let facts = Facts { data: data.as_bytes(), metadata: &metadata, ..SAMPLE };
    compile(text).render(&facts).map(|body| String::from_utf8(body).expect("text"))
}

#[test]
fn whatever_stands_in_braces_comes_out_as_json() {
    let text = r#"{ "a": {{ "🔴 " ~ data.name ~ " is \"DOWN\"" }}, "n": {{ data.n }}, "all": {{ data }}, "none": {{ data.nothing }} }"#;
    let data = r#"{"name": "A\"},{\n", "n": 1.50, "z": [true, null], "b": -7}"#;
    assert_eq!(
        render(text, data).as_deref(),
        Ok(
            r#"{"a":"🔴 A\"},{\n is \"DOWN\"","n":1.5,"all":{"name":"A\"},{\n","n":1.5,"z":[true,null],"b":-7},"none":null}"#
        )
    );
}

#[test]
fn an_event_is_all_there_is() {
    let text = "[{{ id }}, {{ type }}, {{ timestamp }}, {{ account_id }}, {{ webhook_id }}, {{ metadata.channel }}, {{ data.x.y.z }}]";
    assert_eq!(
        render(text, "null").as_deref(),
        Ok(r##"["wh_evt_sample","sample.created","2025-10-09T08:53:20.000Z","default","wh_sample","#ops",null]"##)
    );
}

#[test]
fn what_is_captured_is_json_already() {
    let text = r#"{% set part %}{"a": {{ data.a }}}{% endset %}[{{ part }}, {{ "x" ~ part }}]"#;
    assert_eq!(render(text, r#"{"a": "]"}"#).as_deref(), Ok(r#"[{"a":"]"},"x{\"a\": \"]\"}"]"#));
}

#[test]
fn filters_of_our_own_serve_what_messages_need() {
    for (expression, comes_out) in [
        ("502 | status", "\"502 Bad Gateway\""),
        ("data.code | status", "\"404 Not Found\""),
        ("599 | status", "\"599\""),
        ("99 | status", "null"),
        ("data.nothing | status | default(\"no answer\")", "\"no answer\""),
        ("data.null | default(\"-\")", "\"-\""),
        ("data.empty | default(\"-\")", "\"\""),
        ("data.empty | default(\"-\", true)", "\"-\""),
        ("\"äöü\" | truncate(3)", "\"äöü\""),
        ("\"äöüß\" | truncate(3)", "\"äö…\""),
        ("data.nothing | truncate(3)", "null"),
        ("data.tags | truncate(5)", "\"[\\\"a\\\"…\""),
        ("data.tags | join(\", \")", "\"a, 1\""),
        ("data.nothing | join(\", \")", "\"\""),
        ("data.tags | json", "\"[\\\"a\\\",1]\""),
        ("\"a b\" | replace(\" \", \"_\")", "\"a_b\""),
        ("\"x\" | upper", "\"X\""),
    ] {
        let data = r#"{"code": 404, "null": null, "empty": "", "tags": ["a", 1]}"#;
        assert_eq!(render(&format!("{{{{ {expression} }}}}"), data).as_deref(), Ok(comes_out), "{expression}");
    }
}

#[test]
fn a_template_that_cannot_work_is_refused_where_it_is_wrong() {
    for (text, wrong) in [
        ("{\n\"a\": {{ dta.x }}}", "line 2: there is no `dta`, did you mean `data`?"),
        ("{{ range(3) }}", "line 1: there is no `range`, only id, type"),
        ("{\n\n\"a\": {{ data.x | uper }}}", "line 3: unknown filter"),
        ("{% if data is sometimes %}1{% endif %}", "line 1: unknown test"),
        ("{{ id", "line 1: syntax error"),
        ("{% include \"/etc/passwd\" %}", "line 1: syntax error"),
        ("{% macro a() %}{% endmacro %}", "line 1: syntax error"),
        (&" ".repeat(MAX_TEXT + 1), "it is longer than 16 KiB"),
    ] {
        let found = Template::compile("t", text).expect_err(text);
        assert!(found.starts_with(wrong), "{text}: {found}");
    }
}

#[test]
fn a_template_that_fails_on_an_event_says_nothing_of_it() {
    for (text, data, wrong) in [
        ("{ \"a\": }", "1", "it does not come out as JSON: see line 1 of what it makes"),
        ("{}{}", "1", "it does not come out as JSON: see line 1 of what it makes"),
        ("{% if data %}1{% endif %}\n", "false", "it comes out empty"),
        ("\n{{ data.secret - 1 }}", "{\"secret\": \"hunter2\"}", "line 2: invalid operation"),
        ("{{ 1 }}", "{", "the event's data is not JSON"),
    ] {
        assert_eq!(render(text, data).expect_err(text), wrong);
    }
}

#[test]
fn what_a_rendering_costs_is_bounded() {
    // The most items that 256 KiB of data can have, each of them looked at.
    let many = format!("[{}1]", "1,".repeat(128 << 10));
    let once = "[{% for x in data %}{% if x is string or x > 7 or x < 0 %}{{ x }},{% endif %}{% endfor %}1]";
    assert_eq!(render(once, &many).as_deref(), Ok("[1]"));
    let twice = "[{% for x in data %}{% for y in data %}{% endfor %}{% endfor %}]";
    assert_eq!(render(twice, &many).expect_err("too much"), "line 1: it takes more than 2000000 steps");

    let long = format!("\"{}\"", "x".repeat(200 << 10));
    assert!(render("{% set all %}{{ data }}{% endset %}{{ all }}", &long).is_ok());
    assert_eq!(render("{{ (data ~ data ~ data ~ data) | truncate(2) }}", &long).as_deref(), Ok("\"x…\""));
    for text in [
        "[{{ data }}, {{ data }}]",
        "{% set all %}{{ data }}{{ data }}{{ data }}{{ data }}{{ data }}{{ data }}{% endset %}1",
        "{{ data ~ data }}",
        "{{ data | replace(\"x\", \"yyyyyyyy\") | truncate(1) }}",
        "{{ [data, data, data] | join(data ~ data) | truncate(1) }}",
        "{{ \"x\" * 2000000 }}",
        "{{ [1] * 1000000 }}",
    ] {
        let wrong = render(text, &long).expect_err(text);
        assert!(wrong.ends_with("it makes more than 256 KiB, or 1024 KiB on the way"), "{text}: {wrong}");
    }
}

#[test]
fn what_the_engine_cannot_take_is_a_failure_like_any_other() {
    // minijinja 3.0.5 negates the step: where overflow is checked, that is a panic.
    let text = "{{ [1, 2][::data] }}";
    let found = render(text, "-9223372036854775808");
    assert!(found.as_deref() == Ok("[2]") || found == Err("the template engine gave up".into()), "{found:?}");
    assert_eq!(render(text, "-1").as_deref(), Ok("[2,1]"));
}

#[test]
fn nesting_ends_before_the_stack_does() {
    let deep = format!("{}{{{{ {}1{} }}}}", "", "[".repeat(1000), "]".repeat(1000));
    assert!(Template::compile("t", &deep).is_err());
    let line = "{%set data=[data]%}";
    let sets = line.repeat((MAX_TEXT - 40) / line.len());
    let wrong = render(&format!("{sets}{{{{ data }}}}"), "1").expect_err("too deep");
    assert!(wrong.contains("could not serialize"), "{wrong}");
    for rest in ["{{ data ~ 1 }}", "{{ data == data }}", "{{ data | string }}"] {
        let _ = render(&format!("{sets}{rest}"), "1");
    }
    let ifs = format!("{}1{}", "{%if id%}".repeat(500), "{%endif%}".repeat(500));
    assert!(Template::compile("t", &ifs).is_err() || render(&ifs, "1").is_ok());
    let nested = format!("{}{}", "[".repeat(100), "]".repeat(100));
    assert_eq!(render("{{ data }}", &nested), Ok(nested));
    let recursive = "[{% for x in data recursive %}{{ loop([x]) }}{% endfor %}]";
    assert!(render(recursive, "[1]").is_err());
}

#[test]
fn a_name_is_found_in_the_line_that_uses_it() {
    assert_eq!(line_of("{ \"text\":\n {{ id }},\n\"b\": {{ id ~\n text }}", "text"), Some(4));
    assert_eq!(line_of("text", "text"), None);
}

#[test]
fn one_that_names_whom_it_goes_to_says_so() {
    assert!(!compile("{{ data.webhook_id ~ id }}").depends_on_endpoint());
    assert!(compile("{{ webhook_id }}").depends_on_endpoint());
    assert!(compile("{% if metadata.a %}1{% endif %}").depends_on_endpoint());
}

/// JSON of any shape.
fn any_json() -> impl Strategy<Value = serde_json::Value> {
    use serde_json::Value as Json;
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        // Those that have few digits: serde_json reads others to within the last one.
        any::<i32>().prop_map(|number| Json::from(f64::from(number) / 8.0)),
        ".{0,12}".prop_map(Json::from),
    ];
    leaf.prop_recursive(4, 24, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Json::from),
            prop::collection::vec(("[a-e]", inner), 0..6).prop_map(|all| Json::Object(all.into_iter().collect())),
        ]
    })
}

/// An expression of any shape, most of which make no sense.
fn any_expression() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec![
        "data",
        "data.a",
        "data.b.c",
        "data[0]",
        "id",
        "metadata",
        "none",
        "true",
        "0",
        "1",
        "-1",
        "7",
        "0.5",
        "1e300",
        "\"é\"",
        "\"\"",
        "9223372036854775807",
        "(-9223372036854775807 - 1)",
        "[]",
        "{}",
    ]);
    let operator = prop::sample::select(vec!["+", "-", "*", "/", "//", "%", "**", "~", "==", "<", "in", "and", "or"]);
    let filter = prop::sample::select(vec![
        "abs",
        "capitalize",
        "dictsort",
        "first",
        "float",
        "int",
        "items",
        "json",
        "last",
        "length",
        "list",
        "lower",
        "max",
        "min",
        "mrkdwn",
        "reverse",
        "round",
        "sort",
        "split",
        "status",
        "string",
        "sum",
        "title",
        "trim",
        "unique",
        "upper",
    ]);
    let taking = prop::sample::select(vec![
        "default",
        "join",
        "map",
        "round",
        "split",
        "truncate",
        "select",
        "reject",
        "selectattr",
        "trim",
        "int",
        "sort",
    ]);
    leaf.prop_map(str::to_owned).prop_recursive(5, 24, 4, move |inner| {
        let any = || inner.clone();
        prop_oneof![
            (any(), operator.clone(), any()).prop_map(|(a, operator, b)| format!("({a} {operator} {b})")),
            (any(), filter.clone()).prop_map(|(a, filter)| format!("({a} | {filter})")),
            (any(), taking.clone(), any()).prop_map(|(a, filter, b)| format!("({a} | {filter}({b}))")),
            (any(), any(), any()).prop_map(|(a, b, c)| format!("({a} | replace({b}, {c}))")),
            (any(), any(), any()).prop_map(|(a, b, c)| format!("({a} if {b} else {c})")),
            (any(), any()).prop_map(|(a, b)| format!("{a}[{b}]")),
            (any(), any(), any(), any()).prop_map(|(a, b, c, d)| format!("{a}[{b}:{c}:{d}]")),
            (any(), any()).prop_map(|(a, b)| format!("[{a}, {b}]")),
            any().prop_map(|a| format!("{{\"a\": {a}}}")),
            any().prop_map(|a| format!("(not {a})")),
        ]
    })
}

proptest! {
    #[test]
    fn no_expression_panics(expression in any_expression(), data in any_json()) {
        let data = data.to_string();
        for text in [format!("{{{{ {expression} }}}}"), format!("{{% for x in {expression} %}}{{{{ x }}}}{{% endfor %}}")] {
            if let Ok(template) = Template::compile("t", &text) {
                let _ = template.render(&Facts { data: data.as_bytes(), ..SAMPLE });
            }
        }
    }

    #[test]
    fn any_value_stays_itself(data in any_json()) {
        let text = data.to_string();
        let body = render("{\"d\": {{ data }}, \"t\": {{ \"<\" ~ (data | json) }}}", &text).expect("JSON");
        let read: serde_json::Value = serde_json::from_str(&body).expect("JSON");
        prop_assert_eq!(&read["d"], &data);
        prop_assert!(read["t"].as_str().is_some_and(|text| text.starts_with('<')));
    }

    #[test]
    fn no_template_and_no_data_panic(
        pieces in prop::collection::vec(prop_oneof![
            Just("{{ "), Just(" }}"), Just("{% for x in data %}"), Just("{% endfor %}"), Just("{% if data.a %}"), Just("{% else %}"),
            Just("{% endif %}"), Just("{% set y = data %}"), Just("data"), Just("x"), Just(".a"), Just("[0]"), Just("[1:2]"), Just(" | "),
            Just("first"), Just("items"), Just("truncate(2)"), Just("status"), Just("join(1)"), Just("sort"), Just("int"), Just("round"),
            Just("~"), Just(" * "), Just(" - "), Just(" // "), Just(" in "), Just("(1)"), Just("7"), Just("\"s\""), Just("{"), Just("}"),
            Just("["), Just("]"), Just(","), Just(":"), Just("{#"), Just("#}"), Just("é"),
        ], 0..24),
        data in any_json(),
    ) {
        let text = pieces.concat();
        if let Ok(template) = Template::compile("t", &text) {
            let data = data.to_string();
            let facts = Facts { data: data.as_bytes(), ..SAMPLE };
            if let Ok(body) = template.render(&facts) {
                prop_assert!(serde_json::from_slice::<IgnoredAny>(&body).is_ok());
                prop_assert_eq!(template.render(&facts), Ok(body));
            }
        }
    }

    #[test]
    fn compact_json_says_the_same(data in any_json()) {
        let pretty = serde_json::to_string_pretty(&data).expect("JSON");
        prop_assert_eq!(String::from_utf8(writing::compact(pretty.as_bytes())).expect("text"), data.to_string());
    }
}
