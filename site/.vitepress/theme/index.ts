/** The site's look: vitepress's typography, a layout of our own that needs no script to be read. */
import "vitepress/dist/client/theme-default/styles/vars.css";
import "vitepress/dist/client/theme-default/styles/base.css";
import "vitepress/dist/client/theme-default/styles/components/vp-code.css";
import "vitepress/dist/client/theme-default/styles/components/vp-doc.css";
import "./site.css";
import Layout from "./layout.vue";

// biome-ignore lint/style/noDefaultExport: vitepress takes its theme so
export default { Layout };
