// Renders the pages and their drawings into dist/.
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { marked } from "marked";

const version = process.argv[2] ?? "dev";
const page = marked.parse(readFileSync("content/index.md", "utf8"));

mkdirSync("dist", { recursive: true });
execFileSync("dot", ["-Tsvg", "-odist/parts.svg", "content/parts.dot"]);
writeFileSync("dist/index.html", `<!doctype html>\n<title>Almanac</title>\n${page}<footer>${version}</footer>\n`);
