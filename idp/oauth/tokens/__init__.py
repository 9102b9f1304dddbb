"""What is minted: access tokens, ID Tokens, and the rules of scopes and claims in them."""
