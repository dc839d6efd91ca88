// Starts Swagger UI with what the page's script element says. A file of its own, because the page allows no inline script.
const page = document.currentScript.dataset;

window.onload = () => {
  window.ui = SwaggerUIBundle({
    url: page.specUrl,
    dom_id: "#swagger-ui",
    deepLinking: true,
    validatorUrl: "none", // the badge of an outside service
    ...JSON.parse(page.config),
  });
};
