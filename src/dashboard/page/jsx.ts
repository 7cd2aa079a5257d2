/** What an element of the page is made by. */
export { Fragment, h } from "preact";
