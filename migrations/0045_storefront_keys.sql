-- What shows private keys is a scope of its own, and part of `storefront:write`: whoever has that keeps what they could do.
UPDATE tokens SET scopes = json_insert(scopes, '$[#]', 'storefront:keys')
 WHERE EXISTS (SELECT 1 FROM json_each(scopes) s WHERE s.value = 'storefront:write')
   AND NOT EXISTS (SELECT 1 FROM json_each(scopes) s WHERE s.value = 'storefront:keys');
