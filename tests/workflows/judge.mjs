// Fixes the workspaces of fixtures, and compares what three programs say of each workflow before and after.
//
// usage: node judge.mjs LAYERWISE PARSER WORK      (WORK/fixtures holds workspaces: JSON objects of path and text)
//
// PARSER is GitHub's, bundled; the others are on the PATH.

import { execFileSync, spawnSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";

const [layerwise, parser, work] = process.argv.slice(2);
const { NoOperationTraceWriter, parseWorkflow } = (await import(pathToFileURL(parser).href)).default;

function write(folder, files) {
  for (const [name, text] of Object.entries(files)) {
    const file = path.join(folder, name);
    fs.mkdirSync(path.dirname(file), { recursive: true });
    fs.writeFileSync(file, text);
  }
}

/** All that can be fixed, whether it is safe or not. */
function fix(folder) {
  const { status, stderr } = spawnSync(layerwise, ["check", "--fix", "--unsafe-fixes", "--min-level", "hint", "--format", "json", folder], { encoding: "utf8" });
  if (status !== 0 && status !== 1) throw new Error(`layerwise fails on ${folder}: ${stderr}`);
}

/** What the parser of GitHub's language server finds. */
function parsed(text) {
  const { context } = parseWorkflow({ name: "ci.yml", content: text }, new NoOperationTraceWriter());
  return context.errors.getErrors().map((it) => `GitHub: ${it.rawMessage ?? it.message}`);
}

/** What actionlint finds in files, by file. */
function linted(folder, names) {
  const files = names.map((it) => path.join(folder, it));
  const { stdout, stderr } = spawnSync("actionlint", ["-shellcheck=", "-pyflakes=", "-format", "{{json .}}", ...files], {
    encoding: "utf8",
    maxBuffer: 1 << 30,
  });
  if (!stdout) throw new Error(`actionlint fails: ${stderr}`);
  const found = new Map();
  for (const { message, filepath } of JSON.parse(stdout)) {
    const name = path.relative(folder, path.resolve(filepath));
    found.set(name, [...(found.get(name) ?? []), `actionlint: ${message}`]);
  }
  return found;
}

/** What zizmor finds below a folder, by file. It reads no network. */
function audited(folder) {
  const output = execFileSync("zizmor", ["--offline", "--no-exit-codes", "--no-progress", "--collect=workflows", "--format=json", folder], {
    encoding: "utf8",
    maxBuffer: 1 << 30,
    stdio: ["ignore", "pipe", "ignore"],
  });
  const found = new Map();
  for (const { ident, locations } of JSON.parse(output)) {
    const file = locations[0].symbolic.key.Local?.verbatim_path;
    if (file === undefined) continue;
    const name = path.relative(folder, file);
    found.set(name, [...(found.get(name) ?? []), `zizmor: ${ident}`]);
  }
  return found;
}

/** A message without what a line added above changes. */
const essence = (message) => message.replace(/\(?[Ll]ine:? \d+,? [Cc]ol(umn)?:? \d+\)?/g, "").replace(/\d+:\d+/g, "");

/** zizmor wants actions named by commit. A step that is added to a file that does not do so is no worse than the rest. */
const isPinned = (text) => /@[0-9a-f]{40}\b/.test(text);
const counts = (text) => (it) => it !== "zizmor: unpinned-uses" || isPinned(text);

/** Messages of `after` that are not in `before`. */
function added(before, after) {
  const known = new Set(before.map(essence));
  return [...new Set(after.map(essence))].filter((it) => !known.has(it));
}

const before = path.join(work, "before");
const after = path.join(work, "after");
const changed = [];
const fixtures = fs.readdirSync(path.join(work, "fixtures")).sort();
for (const fixture of fixtures) {
  const text = fs.readFileSync(path.join(work, "fixtures", fixture), "utf8");
  const files = Object.fromEntries(Object.entries(JSON.parse(text)).map(([name, text]) => [name.replace(/^\/w\//, ""), text]));
  const workflows = Object.keys(files).filter((it) => /\/\.github\/workflows\/[^/]+\.ya?ml$/.test(`/${it}`));
  if (workflows.length === 0) continue;
  const name = path.basename(fixture, ".json");
  write(path.join(after, name), files);
  fix(path.join(after, name));
  for (const workflow of workflows) {
    const text = fs.readFileSync(path.join(after, name, workflow), "utf8");
    if (text !== files[workflow]) changed.push({ file: path.join(name, workflow), before: files[workflow], after: text });
  }
  write(path.join(before, name), Object.fromEntries(workflows.map((it) => [it, files[it]])));
}

const audits = [audited(before), audited(after)];
const names = changed.map((it) => it.file);
const lints = [linted(before, names), linted(after, names)];
let failures = 0;
for (const it of changed) {
  const news = [
    ...added(parsed(it.before), parsed(it.after)),
    ...added(lints[0].get(it.file) ?? [], lints[1].get(it.file) ?? []),
    ...added(audits[0].get(it.file) ?? [], audits[1].get(it.file) ?? []).filter(counts(it.before)),
  ];
  if (news.length === 0) continue;
  failures += 1;
  console.log(`\n${it.file}\n${news.map((news) => `  ${news}`).join("\n")}\n--- before\n${it.before}\n--- after\n${it.after}`);
}
const judged = [...audits[0].values()].flat().length;
console.log(`${fixtures.length} workspaces, ${changed.length} workflows changed by fixes, ${failures} with something new; zizmor finds ${judged} things before and ${[...audits[1].values()].flat().length} after`);
// Nothing to judge would be no judgement.
process.exit(failures === 0 && changed.length > 50 && judged > 0 ? 0 : 1);
