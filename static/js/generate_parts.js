/** What follows the form and the text of the page that generates: ways, draw, commands, other models, examples. */

import { BranchTree } from "./branch_tree.js";
import { byId, say } from "./dom.js";
import { DrawPanel } from "./draw_panel.js";
import { equalCommand } from "./equal_commands.js";
import { FewShot } from "./few_shot.js";
import { NotANumber } from "./numbers.js";
import { SideBySide } from "./side_by_side.js";

export class GenerateParts {
  constructor(page) {
    const { form, text } = page;
    Object.assign(this, { page, form, text });
    this.draw = new DrawPanel(() => form.sampling());
    text.ways = new BranchTree((id) => text.open(id), () => text.letGo());
    const onOpen = async (line) => {
      await page.model.choose(line.model);
      await text.adopt(line);
    };
    const onChange = () => page.soon();
    this.beside = new SideBySide(() => page.request(), { onOpen, onChange });
    this.fewShot = new FewShot(() => page.request(), { onOpen, onChange });
    for (const change of ["toggle", "change"]) byId("commands").addEventListener(change, () => this.#command());
  }

  async start() {
    const { offered, model } = this.page;
    const other = offered.models.find(({ name, available, family }) => name !== model.name && available && !["classifier", "word2vec"].includes(family));
    this.against = other?.name ?? model.name;
    await this.beside.other.offer(offered, new URLSearchParams(location.search).get("against") ?? this.against);
    const { line } = this.text;
    await this.text.ways.show(line?.tree ?? null, line?.branch ?? null);
    if (line) this.onLine(line.at);
    this.follow();
  }

  /** What an address is to hold of them. */
  address() {
    const { state, first } = this.fewShot;
    const against = this.beside.other.name;
    return { ...(against !== this.against && { against }), ...(state !== first && { shots: state }) };
  }

  /** Another text is on the page, whose newest part begins at that token. */
  onLine(place) {
    if (!this.page.isRemote) this.draw.show(this.text.line, place);
  }

  showDraw(i) {
    this.draw.show(this.text.line, i);
    byId("draw").scrollIntoView();
    byId("draw-place").focus({ preventScroll: true });
  }

  /** Bring draw and command up to what the form says. */
  follow() {
    for (const output of document.querySelectorAll("[data-shows]")) {
      const field = byId(output.dataset.shows);
      output.textContent = field.value || field.placeholder;
    }
    this.#look();
    this.#command();
  }

  /** Show the draw of the text on the page, or of what the form asks, if that is another thing. */
  #look() {
    const { line, running } = this.text;
    if (this.page.isRemote || running) return;
    try {
      const [asked, model] = [this.form.asked(), this.page.model.name];
      const source = line && line.model === model && this.form.asks(line.asked) ? line : { asked, model, tokens: [] };
      if (isSame(source, this.draw.source)) this.draw.moved();
      else this.draw.show(source, 0);
    } catch (error) {
      if (!(error instanceof NotANumber)) throw error;
      say(byId("generate-error"), error.message);
    }
  }

  /** The command of the text on the page; once the form was changed, of what it would ask. */
  #command() {
    if (!byId("commands").open) return;
    try {
      const body = this.text.sent ?? { model: this.page.model.name, ...this.form.asked(), ...this.form.sampling() };
      byId("command").textContent = equalCommand(this.form.form.elements.command.value, body);
    } catch (error) {
      if (!(error instanceof NotANumber)) throw error;
      byId("command").textContent = error.message;
    }
  }
}

function isSame(one, other) {
  return other !== null && one.model === other.model && one.tokens.length === other.tokens.length && JSON.stringify(one.asked) === JSON.stringify(other.asked);
}
