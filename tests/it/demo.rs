//! `hookward demo` is the first thing that people see.

use crate::support::child::hookward;

#[test]
fn it_ends_in_success_with_a_verdict_for_every_sender() {
    let output = hookward(&["demo"]).output().expect("the program");
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(output.status.success(), "{text}");
    assert!(text.contains("45 verdicts as they should be, 0 not, 10 not applicable."), "{text}");
    for sender in ["(vgs)", "(vpn-enterprise)", "(vinsight)", "(cyberark-vaas)", "(vantastatus)"] {
        assert!(text.contains(sender), "{text}");
    }
}
