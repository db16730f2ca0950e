package token_test

import (
	"context"
	"fmt"

	"saltern/model/token"
)

func ExampleTrain() {
	documents := func(yield func([]byte, error) bool) {
		_ = yield([]byte("salt and sand, salt and sand"), nil) && yield([]byte("the salt in the sand"), nil)
	}
	tok, err := token.Train(context.Background(), documents, 262, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	ids := tok.Encode(nil, []byte("salt sand"))
	for _, id := range ids {
		fmt.Printf("%d %q\n", id, tok.Token(id))
	}
	fmt.Printf("%s, then %s is %d of %d\n", tok.Decode(ids), token.EndOfText, tok.EndOfText(), tok.VocabSize())
	// Output:
	// 256 "sa"
	// 259 "lt"
	// 260 " sand"
	// salt sand, then <|endoftext|> is 261 of 262
}
