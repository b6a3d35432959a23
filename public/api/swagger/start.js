// Shows the API document of the registry that this page comes from. Nothing is asked of any other host.

SwaggerUIBundle({
  url: "../openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  filter: true,
  // Else the document would be sent to a validator elsewhere.
  validatorUrl: null,
});
