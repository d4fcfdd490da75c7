//go:build ignore

// gen draws the kernel's logo from one list of shapes, as SVG and as PNG of 32
// and 64 pixels: go run assets/gen.go assets
package main

import (
	"fmt"
	"image"
	"image/color"
	"image/png"
	"log"
	"math"
	"os"
	"path/filepath"
	"strings"
)

// Shapes lie in a square of 64 units, later ones on top.
type shape interface {
	inside(x, y float64) bool
	svg() string
	fill() color.RGBA
}

type paint struct{ r, g, b uint8 }

func (p paint) fill() color.RGBA { return color.RGBA{p.r, p.g, p.b, 255} }
func (p paint) hex() string      { return fmt.Sprintf("#%02x%02x%02x", p.r, p.g, p.b) }

type rect struct {
	paint
	x, y, w, h, r float64
}

func (s rect) inside(x, y float64) bool {
	dx := max(s.x+s.r-x, x-(s.x+s.w-s.r), 0)
	dy := max(s.y+s.r-y, y-(s.y+s.h-s.r), 0)
	return math.Hypot(dx, dy) <= s.r
}

func (s rect) svg() string {
	return fmt.Sprintf(`<rect x="%g" y="%g" width="%g" height="%g" rx="%g" fill="%s"/>`, s.x, s.y, s.w, s.h, s.r, s.hex())
}

type ellipse struct {
	paint
	x, y, rx, ry, turn float64 // turn in degrees, clockwise
}

func (s ellipse) inside(x, y float64) bool {
	sin, cos := math.Sincos(s.turn * math.Pi / 180)
	x, y = x-s.x, y-s.y
	return math.Hypot((x*cos+y*sin)/s.rx, (y*cos-x*sin)/s.ry) <= 1
}

func (s ellipse) svg() string {
	return fmt.Sprintf(`<ellipse cx="%g" cy="%g" rx="%g" ry="%g" transform="rotate(%g %g %g)" fill="%s"/>`,
		s.x, s.y, s.rx, s.ry, s.turn, s.x, s.y, s.hex())
}

var (
	night = paint{0x23, 0x2d, 0x4b}
	wool  = paint{0xf6, 0xed, 0xdc}
	shade = paint{0xe3, 0xd2, 0xb4}
	mint  = paint{0x5f, 0xd6, 0xc4}
)

var logo = []shape{
	rect{night, 0, 0, 64, 64, 14},
	ellipse{wool, 21, 13, 3.6, 8.5, -12},
	ellipse{wool, 32, 12.5, 3.6, 8.5, 10},
	ellipse{shade, 21.3, 14, 1.6, 5.2, -12},
	ellipse{shade, 31.8, 13.5, 1.6, 5.2, 10},
	rect{wool, 14, 20, 21, 54, 10.5},
	ellipse{wool, 29, 27, 14.5, 10.5, 8},
	ellipse{shade, 41, 31, 8, 6.2, 8},
	ellipse{night, 45.6, 29.4, 1.7, 1.3, 8},
	ellipse{night, 32, 24.5, 2.3, 2.6, 0},
	ellipse{wool, 32.8, 23.6, 0.8, 0.8, 0},
	rect{mint, 14, 45, 21, 5, 0},
	rect{mint, 41, 50, 14, 5, 2.5},
}

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: go run gen.go FOLDER")
	}
	var svg strings.Builder
	svg.WriteString(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64">` + "\n")
	svg.WriteString(`<clipPath id="edge"><rect width="64" height="64" rx="14"/></clipPath><g clip-path="url(#edge)">` + "\n")
	for _, s := range logo {
		svg.WriteString(s.svg() + "\n")
	}
	svg.WriteString("</g></svg>\n")
	check(os.WriteFile(filepath.Join(os.Args[1], "logo-svg.svg"), []byte(svg.String()), 0o644))
	for _, px := range []int{32, 64} {
		f, err := os.Create(filepath.Join(os.Args[1], fmt.Sprintf("logo-%dx%d.png", px, px)))
		check(err)
		check(png.Encode(f, draw(px)))
		check(f.Close())
	}
}

// draw averages 8×8 samples a pixel.
func draw(px int) image.Image {
	const sub = 8
	img := image.NewNRGBA(image.Rect(0, 0, px, px))
	for py := range px {
		for pxx := range px {
			var r, g, b, n float64
			for i := range sub * sub {
				x := (float64(pxx) + (float64(i%sub)+0.5)/sub) * 64 / float64(px)
				y := (float64(py) + (float64(i/sub)+0.5)/sub) * 64 / float64(px)
				if c, ok := at(x, y); ok {
					r, g, b, n = r+float64(c.R), g+float64(c.G), b+float64(c.B), n+1
				}
			}
			if n > 0 {
				img.SetNRGBA(pxx, py, color.NRGBA{uint8(r/n + 0.5), uint8(g/n + 0.5), uint8(b/n + 0.5), uint8(255*n/(sub*sub) + 0.5)})
			}
		}
	}
	return img
}

// at is the colour at a point; nothing lies outside the first shape.
func at(x, y float64) (c color.RGBA, ok bool) {
	if !logo[0].inside(x, y) {
		return c, false
	}
	for _, s := range logo {
		if s.inside(x, y) {
			c = s.fill()
		}
	}
	return c, true
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
