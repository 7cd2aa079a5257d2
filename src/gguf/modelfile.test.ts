/** The Modelfile as a whole. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { modelfilePath, modelfileText } from "./modelfile.ts";

test("a Modelfile with everything, and with nothing", () => {
  const content = {
    file: "x.gguf",
    // Ollama's parser knows no escapes: what stands between the quotes is the text
    stops: ["<|im_end|>", 'a "b"', "c\\d\n"],
    contextLength: 2048,
    system: "Be brief.\nBe right.",
    license: "apache-2.0",
  };
  assert.equal(
    modelfileText(content),
    'FROM ./x.gguf\nPARAMETER stop "<|im_end|>"\nPARAMETER stop """a "b""""\nPARAMETER stop "c\\d\n"\nPARAMETER num_ctx 2048\n' +
      'SYSTEM """Be brief.\nBe right."""\nLICENSE """apache-2.0"""\n',
  );
  assert.equal(
    modelfileText({ ...content, stops: [], system: null, license: null }),
    "FROM ./x.gguf\nPARAMETER num_ctx 2048\n",
  );
  assert.throws(() => modelfileText({ ...content, system: 'a """ b' }), /system message/);
  assert.equal(modelfilePath("out/x.gguf"), "out/x.Modelfile");
});
