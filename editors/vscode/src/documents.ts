// Which documents the server is told of.

import type * as vscode from "vscode";

const LANGUAGES = ["dockerfile", "containerfile", "github-actions-workflow", "github-action", "dockercompose", "dockerbake"];

const PATTERNS = [
  "**/.{github,gitea,forgejo}/workflows/*.{yml,yaml}",
  "**/{Containerfile,Containerfile.*,*.containerfile}",
  "**/{docker-compose,compose}*.{yml,yaml}",
  "**/docker-bake*.{hcl,json}",
  "**/action.{yml,yaml}",
  "**/.layerwise.yaml",
];

/**
 * Files, and documents that have no file yet. Not the old side of a comparison, which is a document
 * of its own and would have every finding a second time. The server goes by the path itself.
 */
export const OURS: ({ scheme: string; language: string } | { scheme: string; pattern: string })[] = [
  ...["file", "untitled"].flatMap((scheme) => LANGUAGES.map((language) => ({ scheme, language }))),
  ...PATTERNS.map((pattern) => ({ scheme: "file", pattern })),
] satisfies vscode.DocumentSelector;
