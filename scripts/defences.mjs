// `node scripts/defences.mjs`: removes each defence, one at a time, from a copy of the source, and requires
// that its test fails. `--list` prints them as a table instead.
// `node scripts/defences.mjs cookie` removes only those whose file or description contains "cookie".
//
// Run this after changing a defence. It is not part of `npm run check`, because it compiles the crate once
// for each defence, which takes about ten minutes on two idle cores. `npm run check` only runs
// `checkDefences`, which compiles nothing and checks that every pattern and every test exists.

import { cpSync, existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Stop, exec, inRoot, isProgram, main, say } from "./run.mjs";

/**
 * For each defence: a description, the file, the pattern and its replacement, the place and name of the
 * test, and the number of occurrences of the pattern if it is not one. The place is `lib` for a test of
 * the library, `<name>` for `tests/<name>.rs` in the program `native`, or a test file of the built Worker.
 */
const DEFENCES = [
  ["only space and tab are trimmed off a cookie's name", "src/protocol/cookie/parse.rs",
    "piece.trim_matches(WHITE)", "piece.trim()", "lib", "every_vector_yields_its_values"],
  ["a Cookie header over the size limit is not parsed", "src/protocol/cookie/parse.rs",
    "if header.len() > limits.bytes {", "if false {", "lib", "a_header_over_its_limits_is_too_large_wherever_our_cookie_stands"],
  ["a Cookie header with too many pairs is not parsed", "src/protocol/cookie/parse.rs",
    "if pairs > limits.pairs {", "if false {", "lib", "a_header_over_its_limits_is_too_large_wherever_our_cookie_stands"],
  ["equal cookies count once", "src/protocol/cookie/parse.rs",
    "if let Err(place) = place {\n                values.insert(place, value);\n            }",
    "let (Ok(place) | Err(place)) = place;\n            values.insert(place, value);", "lib", "every_vector_yields_its_values"],
  ["names are compared byte by byte", "src/protocol/cookie/names.rs",
    ".find(|kind| kind.suffix() == suffix)?", ".find(|kind| kind.suffix().eq_ignore_ascii_case(suffix))?", "lib", "each_kind_has_its_own_list"],
  ["a prefix requires Secure", "src/protocol/cookie/spec.rs",
    "if prefixed && !secure {", "if false {", "lib", "a_prefix_demands_its_attributes"],
  ["a prefix counts in any letter case", "src/protocol/cookie/spec.rs",
    "start.eq_ignore_ascii_case(prefix)", "start == prefix", "lib", "a_prefix_demands_its_attributes"],
  ["cookies are HttpOnly", "src/protocol/cookie/spec.rs",
    '"; HttpOnly; SameSite="', '"; SameSite="', "lib", "a_cookie_and_its_removal_differ_in_value_and_age_only"],
  ["a removal has the attributes of its cookie", "src/protocol/cookie/spec.rs",
    "00:00:00 GMT{attributes}", "00:00:00 GMT", "lib", "a_cookie_and_its_removal_differ_in_value_and_age_only"],
  ["no cookie outlives 400 days", "src/protocol/cookie/spec.rs",
    "seconds.min(MAX_AGE)", "seconds", "lib", "no_cookie_outlives_400_days"],
  ["no semicolon gets into a Path", "src/protocol/cookie/spec.rs",
    "byte.is_ascii_graphic() && byte != b';'", "byte.is_ascii_graphic()", "lib", "names_paths_and_domains_have_a_grammar"],
  ["a short secret is refused", "src/protocol/keys/secret.rs",
    "if bytes.len() < SECRET_MIN_BYTES {", "if false {", "lib", "weak_secrets_are_refused_with_a_reason"],
  ["a secret that is a pattern is refused", "src/protocol/keys/secret.rs",
    "if distinct < SECRET_MIN_DISTINCT {", "if false {", "lib", "weak_secrets_are_refused_with_a_reason"],
  ["a secret from the documentation is refused", "src/protocol/keys/secret.rs",
    "if SAMPLE_WORDS.iter().any(|word| text::contains(&lower, word)) {", "if lower.is_empty() {", "lib", "weak_secrets_are_refused_with_a_reason"],
  ["two secrets with one key id are refused", "src/protocol/keys/secret.rs",
    "if ring.iter().any(|other| other.id == secret.id) {", "if false {", "lib", "two_secrets_with_one_id_are_refused"],
  ["fields are preceded by their lengths", "src/protocol/keys/secret.rs",
    "Update::update(mac, &(field.len() as u32).to_be_bytes());", "", "lib", "fields_cannot_be_shifted_into_each_other"],
  ["a tag names its purpose", "src/protocol/keys/secret.rs",
    "absorb(&mut mac, purpose.text());", "let _ = purpose.text();", "lib", "a_tag_of_one_purpose_is_none_of_another"],
  ["tokens and record keys are wiped", "src/protocol/keys/token.rs",
    /Zeroizing(<\[u8; 32\]>>\);|::new\(\[0; 32\]\)\);\n {8}if let Some\(place\))/g, "Box$1", "tests/workerd/memory.test.mjs", "memory_holds_no_token_and_no_record_key_that_is_done_with", 2],
  ["a cookie's tag is checked", "src/protocol/ticket.rs",
    "if !secret.verify(purpose, &fields, &tag) {", "if false {", "lib", "every_changed_character_is_refused"],
  ["the tag binds the cookie's name", "src/protocol/ticket.rs",
    "name.as_bytes()", 'b"".as_slice()', "lib", "the_checks_come_in_their_order", 7],
  ["seen and fresh cookie are bound to the token", "src/protocol/ticket.rs",
    /token\.bytes\(\)(?=[,\]])/g, 'b"".as_slice()', "lib", "seen_and_fresh_belong_to_one_token", 4],
  ["the fresh cookie is bound to its overlay", "src/protocol/ticket.rs",
    "overlay.as_bytes().last_chunk::<OVERLAY_END>()?", 'overlay.as_bytes().last_chunk::<0>()?', "lib", "an_overlay_cannot_be_added_removed_or_changed"],
  ["bytes have exactly one text form", "src/protocol/wire.rs",
    "URL_SAFE_NO_PAD.decode_to_vec(text).ok()",
    "base64_simd::forgiving_decode_to_vec(text.replace('-', \"+\").replace('_', \"/\").as_bytes()).ok()", "lib", "unused_bits_and_padding_are_refused"],
  ["a record is bound to its place", "src/protocol/record/sealed.rs",
    "out.put_block(storage_key.as_bytes());", "", "lib", "a_record_opens_with_its_key_at_its_place_only"],
  ["a record is bound to its version", "src/protocol/record/sealed.rs",
    "    out.put_block(storage_key.as_bytes());\n    version.encode(&mut out);", "    out.put_block(storage_key.as_bytes());\n    let _ = version;", "lib", "a_record_opens_with_its_key_at_its_place_only"],
  ["plain JSON is not accepted if records are sealed", "src/protocol/record/sealed.rs",
    "return if sealed {", "return if false && sealed {", "lib", "plain_json_is_no_record_where_records_are_sealed"],
  ["a duplicate key counts as damage", "src/protocol/data.rs",
    "if self.0.get(&key).is_some() {\n            return None;", "if false {\n            return None;", "lib", "a_key_that_stands_twice_is_damage"],
  ["an unknown format is distinguished from damage", "src/protocol/record/sealed.rs",
    "Some(_) => return Err(Unreadable::UnknownFormat),", "Some(_) => return Err(Unreadable::Corrupt),", "lib", "a_format_of_another_release_is_told_from_damage"],
  ["list metadata is bound to its record", "src/protocol/list_metadata.rs",
    "out.put_block(storage_key.as_bytes());", "", "lib", "metadata_opens_at_its_place_with_its_secret"],
  ["a revocation also names the first key", "src/protocol/revocation.rs",
    "if !key.is_first() {", "if false {", "lib", "a_revocation_names_the_first_key_too"],
  ["a marker outlives its session", "src/protocol/revocation.rs",
    "/ 1_000 + 1 + MARKER_MARGIN", "/ 1_000", "lib", "a_marker_outlives_its_session"],
  ["a revocation counts before a rotation", "src/protocol/revocation.rs",
    ".filter(|marker| marker.death == Death::Revoked)", ".filter(|marker| marker.death == Death::Rotated)", "lib", "a_revocation_counts_before_a_rotation"],
  ["a seen cookie from the future is ignored", "src/protocol/outcome.rs",
    "seen.filter(|seen| *seen <= now.saturating_add(CLOCK_SKEW))", "seen.filter(|_| CLOCK_SKEW > 0)", "lib", "the_table_of_cases"],
  ["a session with a marker is dead", "src/protocol/outcome.rs",
    "let death = markers.death(lineage, bound_at);", "let death = markers.death(lineage, bound_at).filter(|_| false);", "session_ending", "an_old_cookie_reads_nothing_after_a_logout_and_touches_nothing"],
  ["a key cookie expires", "src/session/presented.rs",
    "if now < ticket.end(config.age())", "if now < i64::MAX", "security_cookies", "a_cookie_whose_end_has_passed_costs_nothing"],
  ["of two sessions none is chosen", "src/protocol/outcome.rs",
    "return places.next().is_none().then_some(place);", "return Some(place);", "session_twins", "of_several_live_sessions_none_is_chosen"],
  ["an overlay is ignored if overlays are off", "src/session/presented.rs",
    "if !config.settings().uses_overlay() {", "if false {", "security_cookies", "an_overlay_counts_for_nothing_where_overlays_are_off"],
  ["an overlay is valid for W", "src/session/presented.rs",
    "now < envelope.saved_at.saturating_add(config.window())", "now < i64::MAX", "session_consistency", "an_overlay_counts_for_less_than_w"],
  ["a header over its limits creates no session", "src/face/store/load.rs",
    "Presented::TooLarge => (Outcome::Rejected, Access::Detached),", "Presented::TooLarge => (Outcome::Rejected, Access::Empty),", "security_cookies", "behind_a_header_over_its_limits_nothing_is_minted"],
  ["a withheld cookie is not overwritten", "src/session/request.rs",
    'if received.key || request.header("sec-fetch-site")', 'if true || request.header("sec-fetch-site")', "session_keys", "where_the_browser_may_withhold_the_cookie_only_a_login_makes_one"],
  ["a 5xx response saves nothing", "src/face/store/commit.rs",
    "if status < 500 && !self.life.is_unloaded() {", "if !self.life.is_unloaded() {", "session_lifecycle", "a_5xx_answer_drops_every_change_and_intent"],
  ["one owner's data is never kept for another", "src/session/login.rs",
    "readable && open.owner().is_none_or(|bound| bound == owner)", "readable && open.owner().is_none_or(|bound| !bound.is_empty() || bound == owner)", "session_keys", "what_a_login_keeps"],
  ["a login ends the previous session", "src/face/store/login.rs",
    "retired_by_login(self.cookies(), base)\n", "Vec::new()\n", "session_keys", "a_login_begins_a_new_lineage_and_marks_the_old_key"],
  ["an access to a session marks the response", "src/face/store/facts.rs",
    "pub fn outcome(&self) -> Result<Outcome, SessionError> {\n        self.mark_accessed();", "pub fn outcome(&self) -> Result<Outcome, SessionError> {", "security_caching", "every_look_at_a_session_marks_the_answer"],
  ["a logout without cookies to remove marks the response", "src/face/store/end.rs",
    "it would be given to somebody who has them.\n        self.mark_accessed();", "it would be given to somebody who has them.", "security_caching", "every_look_at_a_session_marks_the_answer"],
  ["a CSRF token is compared", "src/face/store/csrf.rs",
    "fits |= given.ct_eq(&tag);", "fits |= Choice::from(1) | given.ct_eq(&tag);", "security_cookies", "a_csrf_token_belongs_to_one_token_and_is_masked_anew"],
  ["a CSRF token is masked", "src/face/store/csrf.rs",
    "self.runtime().fill_random(&mut mask)?;", "", "security_cookies", "a_csrf_token_belongs_to_one_token_and_is_masked_anew"],
  ["a form cookie is not accepted for a user", "src/session/csrf.rs",
    "forms: !has_user,", "forms: !has_user || true,", "security_forms", "a_form_cookie_never_stands_for_a_user"],
  ["a form cookie is not accepted for a user among several sessions", "src/session/csrf.rs",
    "if proven.iter().any(is_users) =>", "if proven.iter().all(|_| false) =>", "security_forms", "a_form_cookie_never_stands_for_a_user"],
  ["a form cookie is not accepted after the request has left a user's session", "src/session/presented.rs",
    "self.had_user |= self.rivals()", "self.had_user &= self.rivals()", "security_forms", "a_form_cookie_is_not_good_in_a_request_that_has_left_a_users_session"],
  ["a login removes a form cookie that was withheld", "src/session/form_answer.rs",
    "(received.form || was_withheld)", "(received.form || was_withheld && false)", "security_forms", "a_login_takes_away_the_form_cookie_that_its_request_came_without"],
  ["a login invalidates earlier CSRF tokens", "src/face/store/save.rs",
    "            self.void_forms();", "", "security_forms", "what_was_given_out_before_a_login_is_void_after_it"],
  ["a form cookie does not overwrite one that may be withheld", "src/face/store/csrf.rs",
    "if self.cookie_was_withheld() {", "if false {", "security_forms", "where_the_browser_may_have_withheld_its_cookies_no_form_cookie_is_set"],
  ["the number of form cookies is limited", "src/session/presented.rs",
    "const FORMS_MAX: usize = 4;", "const FORMS_MAX: usize = 400;", "security_forms", "of_several_form_cookies_the_first_makes_tokens_and_four_are_good"],
  ["a form cookie's tag binds its name", "src/protocol/form.rs",
    "name.as_bytes()", 'b"".as_slice()', "lib", "a_form_cookie_belongs_to_its_name_its_secret_and_its_purpose", 2],
  ["a form's token has its own purpose", "src/protocol/form.rs",
    "Purpose::FormToken", "Purpose::Csrf", "lib", "a_form_cookie_belongs_to_its_name_its_secret_and_its_purpose"],
  ["a user ends only their own sessions", "src/protocol/config.rs",
    "if key.owner.is_some_and(|tag| tags.contains(&tag)) {", "if key.owner.is_some_and(|tag| tags.contains(&tag) || true) {", "security_owner", "a_user_ends_one_session_by_its_public_key_and_only_his_own"],
  ["a session that moves between Durable Objects cannot escape a logout", "src/protocol/strong/walk.rs",
    "if !self.may_move || mutant!(strong_move_unnoticed) {", "if self.may_move || !self.may_move {", "strong_keys", "a_logout_is_not_passed_by_a_session_that_moves_back"],
  ["a key whose save has failed is not used again in Durable Objects", "src/flow/begin.rs",
    "Protocol::Strong => true,", "Protocol::Strong => false,", "strong_owner", "a_login_that_failed_can_be_made_again_in_the_same_request"],
  ["a login in progress does not survive the end of all sessions", "src/flow/strong/login.rs",
    "epoch_of(row)?.refuses(lineage, bound_at, ctx.now()) &&", "epoch_of(row)?.refuses(lineage, bound_at, 0) &&", "strong_owner", "a_login_on_its_way_does_not_survive_the_end_of_all_sessions"],
  ["failed randomness stops", "src/protocol/keys/token.rs",
    "SecretBytes::filled(|bytes| runtime.fill_random(bytes))",
    "SecretBytes::filled(|bytes| { let _ = runtime.fill_random(bytes); Ok::<(), SessionError>(()) })", "security_tokens", "randomness_that_fails_at_any_draw_makes_no_token_and_no_record"],
];

const rows = () => DEFENCES.map(([what, file, , , , test]) => `| ${what} | \`${file}\` | \`${test}\` |`);

/** A test of cargo, by the arguments that choose it; null where it is one of Node. */
const cargoTest = (where, test) =>
  where === "lib" ? ["--lib", test] : where.includes("/") ? null : ["--test", "native", `${where}::${test}`];

/** True if the test exists in the place that the table names. Folders are searched recursively. */
function isTest(where, test) {
  const file = where === "lib" ? "src" : where.includes("/") ? where : `tests/${where}.rs`;
  if (!existsSync(inRoot(file))) return false;
  const files = where === "lib" ? readdirSync(inRoot(file), { recursive: true }).map((name) => `${file}/${name}`) : [file];
  const written = where.endsWith(".mjs") ? `test("${test}"` : `fn ${test}(`;
  return files.filter((name) => /\.(rs|mjs)$/.test(name)).some((name) => readFileSync(inRoot(name), "utf8").includes(written));
}

/** Checks without compiling that every pattern and test exists. */
export function checkDefences() {
  const wrong = [];
  for (const [what, file, there, instead, where, test, places = 1] of DEFENCES) {
    const source = existsSync(inRoot(file)) ? readFileSync(inRoot(file), "utf8") : "";
    const found = there instanceof RegExp ? source.match(there)?.length ?? 0 : source.split(there).length - 1;
    if (found !== places) {
      wrong.push(`"${what}": ${file} has ${found} occurrences of ${there instanceof RegExp ? there : JSON.stringify(there)}, not ${places}`);
    } else if (source.replaceAll(there, instead) === source) {
      wrong.push(`"${what}": the replacement changes nothing in ${file}`);
    }
    if (!isTest(where, test)) wrong.push(`"${what}": there is no test ${test} in ${where}`);
  }
  if (wrong.length) throw new Stop(`scripts/defences.mjs does not fit the source:\n${wrong.join("\n")}`);
  console.log(`${DEFENCES.length} defences: every pattern and every test exists`);
}

/** Runs the test of a defence. `failure` matches the output if that test has failed. */
async function tested(copy, target, where, test) {
  const env = { CARGO_TARGET_DIR: target, RUST_BACKTRACE: "0", RUSTFLAGS: "--cap-lints warn", CARGO_TERM_COLOR: "never" };
  const cargo = cargoTest(where, test);
  if (cargo) {
    const args = ["test", "-q", "--no-default-features", ...cargo];
    return { ...(await exec("cargo", args, { cwd: copy, capture: true, env })), failure: new RegExp(`^ {4}\\S*${test}$`, "m") };
  }
  // It builds the Worker by itself.
  const args = ["--test", "--test-reporter=spec", `--test-name-pattern=${test}`, where];
  return { ...(await exec(process.execPath, args, { cwd: copy, capture: true })), failure: new RegExp(`✖ ${test}`) };
}

async function takeOut(copy, target, [, file, there, instead, where, test]) {
  const path = join(copy, file);
  const original = readFileSync(path, "utf8");
  writeFileSync(path, original.replaceAll(there, instead));
  try {
    const { status, output, failure } = await tested(copy, target, where, test);
    if (status === 0) return "no test failed";
    return failure.test(output) ? null : `failed in another way:\n${output.slice(-1500)}`;
  } finally {
    writeFileSync(path, original);
  }
}

async function takeOutEach() {
  if (process.argv.includes("--list")) {
    console.log(["| defence | where | test that fails |", "|---|---|---|", ...rows()].join("\n"));
    return 0;
  }
  checkDefences();
  const words = process.argv.slice(2);
  const chosen = DEFENCES.filter(([what, file]) => words.every((word) => `${what} ${file}`.includes(word)));
  if (chosen.length === 0) throw new Stop(`no defence has ${words.join(" and ")} in its file or description`);
  const started = Date.now();
  const copy = mkdtempSync(join(tmpdir(), "edge-session-defences-"));
  const target = process.env.CARGO_TARGET_DIR ?? join(copy, "target");
  const left = [];
  try {
    const skipped = ["target", "node_modules", ".git", "build", "pkg", ".wrangler"].map((name) => inRoot(name));
    cpSync(inRoot(), copy, { recursive: true, filter: (from) => !skipped.includes(from) });
    symlinkSync(inRoot("node_modules"), join(copy, "node_modules"));
    for (const defence of chosen) {
      const trouble = await takeOut(copy, target, defence);
      say(`${defence[0]}: ${trouble ?? "its test failed, as it should"}`);
      if (trouble) left.push(defence[0]);
    }
  } finally {
    rmSync(copy, { recursive: true, force: true });
  }
  const minutes = ((Date.now() - started) / 60_000).toFixed(0);
  console.log(`\n${chosen.length - left.length} of ${chosen.length} defences have a test that fails without them (${minutes} minutes)`);
  if (left.length) throw new Stop(`no test notices the removal of: ${left.join("; ")}`);
  return 0;
}

if (isProgram(import.meta.url)) await main(takeOutEach);
