/** Swagger UI as a part of a page of ours: within its one `main`, its headings in order, no control within a control. */

/** A plugin for `SwaggerUIBundle`, whose `layout` is then "PartOfPage". */
export const partOfPage = ({ React: { createElement } }) => {
  const layout = ({ getComponent, specSelectors }) => {
    if (specSelectors.loadingStatus() !== "success") return createElement(getComponent("BaseLayout", true));
    const part = (name) => createElement(getComponent(name, true), { key: name });
    const heading = createElement("h2", { key: "heading", className: "unseen" }, "Routes");
    const doors = specSelectors.securityDefinitions() ? [part("AuthorizeBtnContainer")] : [];
    const parts = [part("InfoContainer"), ...doors, heading, part("operations"), part("Models")];
    return createElement("div", { className: "swagger-ui" }, createElement("div", { className: "wrapper" }, parts));
  };
  const words = () => ({ text }) => createElement("span", null, text); // within a button: it leads where the button does
  const named = (original) => (props) => createElement(original, { "aria-label": "Body of the request", ...props });
  return { components: { PartOfPage: layout }, wrapComponents: { DeepLink: words, TextArea: named } };
};
