package content

import (
	"context"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"sync"
)

const (
	primeBytes = 128 // two of them are a key of 2048 bits
	publicE    = 65537
	// nodePrimes is how many primes the RSA keys of a node are made of: enough
	// for 32,640 keys, and two keys have a prime in common once in 64 times. A
	// prime of their own would cost each container's start the 20 ms or so that
	// finding one takes.
	nodePrimes = 256
)

// primes are found when they are needed, and found before that by Warm.
type primes struct {
	wanted chan struct{} // closed when the first key is made
	first  sync.Once
	all    [nodePrimes]struct {
		once sync.Once
		n    *big.Int
		err  error
	}
}

func (m *Maker) primeAt(i uint64) (*big.Int, error) {
	p := &m.primes.all[i]
	p.once.Do(func() {
		p.n, p.err = findPrime(newStream(m.seed, fmt.Sprint("prime ", i)).bytes(primeBytes))
	})
	return p.n, p.err
}

// Costly reports whether making a content of the kind takes long until [Maker.Warm]
// is done.
func Costly(kind string) bool { return kind == "gcp-service-account" }

// Expect has Warm begin before the first key is made.
func (m *Maker) Expect() {
	m.primes.first.Do(func() { close(m.primes.wanted) })
}

// Warm waits until a key is made whose making takes long, or Expect is called, and prepares for the
// next ones, which takes some seconds of computing. It returns when that is
// done, or ctx ends. Without it, keys are made all the same.
func (m *Maker) Warm(ctx context.Context) {
	select {
	case <-ctx.Done():
		return
	case <-m.primes.wanted:
	}
	for i := range uint64(nodePrimes) {
		if ctx.Err() != nil {
			return
		}
		_, _ = m.primeAt(i) // told when it is needed
	}
}

// rsaKey makes an RSA key of 2048 bits of two of the node's primes.
func (j *job) rsaKey(s *stream) (string, error) {
	j.maker.Expect()
	i := s.below(nodePrimes)
	k := (i + 1 + s.below(nodePrimes-1)) % nodePrimes // another one
	p, err := j.maker.primeAt(i)
	if err != nil {
		return "", err
	}
	q, err := j.maker.primeAt(k)
	if err != nil {
		return "", err
	}
	one := big.NewInt(1)
	p1, q1 := new(big.Int).Sub(p, one), new(big.Int).Sub(q, one)
	lambda := new(big.Int).Mul(p1, q1)
	lambda.Div(lambda, new(big.Int).GCD(nil, nil, p1, q1))
	key := &rsa.PrivateKey{
		PublicKey: rsa.PublicKey{N: new(big.Int).Mul(p, q), E: publicE},
		D:         new(big.Int).ModInverse(big.NewInt(publicE), lambda),
		Primes:    []*big.Int{p, q},
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return "", fmt.Errorf("rsa key: %w", err)
	}
	return pemText("PRIVATE KEY", der), nil
}

var errNoPrime = errors.New("no prime found")

// searched is how many odd numbers are looked at from the start on. One in 355
// is prime, so that none is with a probability of e^-184.
const searched = 1 << 16

// findPrime returns the first prime from start on whose first two bits are set,
// so that a product of two has all its bits. Only the last three bytes of start
// can change.
func findPrime(start []byte) (*big.Int, error) {
	start[0] |= 0xc0
	start[primeBytes-3] &= 0x7f // room to count up
	start[primeBytes-1] |= 1
	base := new(big.Int).SetBytes(start)
	composite := sieve(base)
	n := new(big.Int)
	for i := range searched {
		if composite[i] {
			continue
		}
		n.Add(base, big.NewInt(int64(2*i)))
		// Without rounds it is the test of Baillie, Pomerance, Selfridge and
		// Wagstaff, which is not known to be wrong on any number.
		if n.ProbablyPrime(0) && new(big.Int).Mod(n, big.NewInt(publicE)).Int64() != 1 {
			return n, nil
		}
	}
	return nil, errNoPrime
}

// sieve marks which of base, base+2, base+4 … have a small factor: nine of ten
// of those that a costly test would refuse.
func sieve(base *big.Int) []bool {
	const limit = 1 << 15
	out, small := make([]bool, searched), make([]bool, limit)
	r, divisor := new(big.Int), new(big.Int)
	for p := 3; p < limit; p += 2 {
		if small[p] {
			continue
		}
		for m := p * p; m < limit; m += 2 * p {
			small[m] = true
		}
		rest := int(r.Mod(base, divisor.SetInt64(int64(p))).Int64())
		// The first i with base + 2i = 0 (mod p): -rest/2, halved as p is odd.
		i := (p - rest) % p
		if i%2 != 0 {
			i += p
		}
		for i /= 2; i < searched; i += p {
			out[i] = true
		}
	}
	return out
}
