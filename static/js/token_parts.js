/** What stands under the tokens: other tokenizers, windows, the merges of a word, a tokenizer of one's own, the list. */

import { asked } from "./address.js";
import { byId } from "./dom.js";
import { MergePlayer } from "./merge_player.js";
import { TokenWindows } from "./token_windows.js";
import { TokenizerCards } from "./tokenizer_cards.js";
import { TokenizerForm } from "./tokenizer_form.js";
import { TokenizerList } from "./tokenizer_list.js";

export class TokenParts {
  /** `page` has the text as it is `shown`, its `lists`, the tokenizers (`rows`), and puts the state into the address. */
  constructor(page) {
    this.page = page;
    this.cards = new TokenizerCards(page.rememberSoon);
    this.windows = new TokenWindows(page.rememberSoon);
    this.player = new MergePlayer();
    this.list = new TokenizerList(() => page.offer());
    this.form = new TokenizerForm((made) => page.offer(made));
    byId("merge-text").addEventListener("input", page.rememberSoon);
  }

  async start() {
    this.from(asked());
    this.offer(this.page.rows ?? []);
    this.read();
    await this.form.fill();
  }

  from(query) {
    const word = query.get("word");
    if (word) byId("merge-text").value = word.slice(0, 64);
    this.cards.from(query);
    this.windows.from(query);
  }

  offer(rows, made = null) {
    this.list.show(rows);
    this.player.offer(rows, made, this.page.preferred);
    if (made) this.cards.add(made.name);
    this.cards.offer(rows);
  }

  /** Read the text that the page shows now. */
  read() {
    const { shown, lists } = this.page;
    if (!shown) return this.clear();
    this.cards.read(shown);
    this.windows.read(shown, lists.tokens);
  }

  clear() {
    this.cards.clear();
    this.windows.clear();
  }

  play(word, tokenizer) {
    this.player.play(word, tokenizer);
    byId("merges").scrollIntoView({ block: "nearest" });
  }

  /** What the address is to say of these parts. */
  get state() {
    const word = byId("merge-text");
    return { beside: this.cards.names, ...this.windows.state, word: word.value === word.defaultValue ? "" : word.value };
  }
}
