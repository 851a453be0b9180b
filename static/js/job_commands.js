/** A request to POST /jobs as Python and as `inkling`. What has no word there is told. */

import { python, quoted } from "./command.js";

const METHODS = { pretrain: "pretrain", classify: "classification", instruct: "supervised", dpo: "dpo" };
const OF_METHOD = { epochs: "n_epochs", batch_size: "batch_size", beta: "beta", lora: "lora" };
const OPTIONS = {
  pretrain: { model: "--model", preset: "--preset", column: "--column", name: "--name", tokenizer: "--tokenizer", devices: "--devices" },
  classify: { model: "--base", preset: "--preset", text: "--text-column", label: "--label-column", name: "--name", tokenizer: "--tokenizer", validation: "--validation", test: "--test", seed: "--seed" },
  instruct: { model: "--base", name: "--name", validation: "--validation", seed: "--seed" },
  dpo: { model: "--base", name: "--name", validation: "--validation", seed: "--seed" },
  evaluate: { model: "--model", seed: "--seed" },
};
const HOMES = ["127.0.0.1:8000", "localhost:8000"]; // what `inkling` calls by itself

/** OpenAI's client, where its words suffice; else Python without any package. */
export function pythonCommand(body, secrets) {
  const [asked, unsaid] = inOpenAIsWords(body);
  if (unsaid.length) return `# OpenAI's client has no word for ${unsaid.join(", ")}: this needs none\n${plainPython(body, secrets)}`;
  const fields = Object.entries(asked).map(([name, value]) => `    ${name}=${JSON.stringify(value)},\n`);
  return `from openai import OpenAI

client = OpenAI(base_url="${location.origin}/v1", api_key="none")
job = client.fine_tuning.jobs.create(
${fields.join("")})
print(job.id)
`;
}

/** Where a value is the name of a secret, as `$NAME`, it is read from the environment. */
function plainPython(body, secrets) {
  const told = python("/jobs", body, 'print(json.load(answer)["id"])');
  const opened = secrets.reduce((text, name) => text.replaceAll(`"$${name}"`, `os.environ["${name}"]`), told);
  return opened === told ? told : `import os\n${opened}`;
}

/** What `client.fine_tuning.jobs.create` is given, and what of the request cannot be said there. */
function inOpenAIsWords({ recipe, dataset, model, validation, seed, train = {}, ...more }) {
  const method = METHODS[recipe];
  if (!method) return [null, [`recipe ${recipe}`]];
  const known = Object.entries(train).filter(([name]) => name in OF_METHOD);
  const unsaid = [...Object.keys(more), ...Object.keys(train).filter((name) => !(name in OF_METHOD)).map((name) => `train.${name}`)];
  const start = typeof model === "string" ? model : recipe === "pretrain" && Object.keys(model ?? {}).join() === "preset" ? model.preset : null;
  if (start === null) unsaid.push("model");
  if (typeof dataset !== "string") unsaid.push("dataset's column");
  const usual = recipe === "pretrain" ? 0 : 0.1; // is kept back where no file is named
  if (typeof validation !== "string" && (validation ?? 0.1) !== usual) unsaid.push("validation");
  const hyperparameters = Object.fromEntries(known.map(([name, value]) => [OF_METHOD[name], value]));
  const asked = { model: start, training_file: dataset, method: { type: method, [method]: { hyperparameters } } };
  if (typeof validation === "string") asked.validation_file = validation;
  if (seed !== undefined) asked.seed = seed;
  return [asked, unsaid];
}

/** `inkling train` or `inkling eval`; a comment, where neither can say it. */
export function inklingCommand(body, secrets) {
  const { recipe, dataset, model, columns = {}, train, evaluate, ...more } = body;
  if (secrets.some((name) => JSON.stringify(body).includes(`"$${name}"`))) return "# A secret on a command line is seen by others; curl asks for it";
  const options = OPTIONS[recipe];
  if (!options) return `# inkling has no command for ${recipe}; curl asks for it`;
  const isMeasured = recipe === "evaluate";
  const { kind, ...settings } = (isMeasured ? evaluate : train) ?? {};
  const start = typeof model === "string" ? { model } : (model ?? {});
  const given = { ...start, ...(isMeasured ? {} : columns), ...more };
  let id = dataset;
  if (typeof dataset !== "string") [id, given.column] = [dataset[0].dataset, dataset[0].column];
  const unsaid = Object.keys(given).filter((name) => !(name in options));
  if (unsaid.length) return `# inkling has no option for ${unsaid.join(", ")}; curl asks for it`;
  const words = Object.entries(given).map(([name, value]) => `${options[name]} ${quoted(String(value))}`);
  if (isMeasured) words.push(...Object.entries(columns).map(([role, name]) => `--column ${quoted(`${role}=${name}`)}`));
  words.push(...Object.entries(settings).map(([name, value]) => `--set ${quoted(`${name}=${JSON.stringify(value)}`)}`));
  if (!HOMES.includes(location.host)) words.push(`--url ${location.origin}`);
  const begun = isMeasured ? `inkling eval ${kind} --dataset ${quoted(id)}` : recipe === "pretrain" ? `inkling train pretrain ${quoted(id)}` : `inkling train ${recipe} --dataset ${quoted(id)}`;
  return [begun, ...words].join(" \\\n  ");
}
