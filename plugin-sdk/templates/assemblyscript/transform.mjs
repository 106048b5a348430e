// Gives the handler its name in the contract, which AssemblyScript has no way to write.

import { Transform } from "assemblyscript/transform";

export default class extends Transform {
  afterCompile(module) {
    module.removeExport("handle");
    module.addFunctionExport("mynah/component/handle", "mynah:bot/handler@0.1.0#handle");
  }
}
