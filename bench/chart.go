package main

import (
	"image/color"
	"math"
	"os"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

var colours = map[camp]color.Color{
	floors: color.Gray{140},
	byHand: color.NRGBA{R: 214, G: 140, B: 30, A: 255},
	peers:  color.NRGBA{R: 190, G: 50, B: 60, A: 255},
	us:     color.NRGBA{R: 30, G: 100, B: 190, A: 255},
}

const (
	chartWidth = 22 * vg.Centimeter
	margin     = vg.Centimeter / 2
	legendRows = 0.75 // for each camp, above the rows
	rowHeight  = 0.55 * vg.Centimeter
	rimHeight  = 2.6 * vg.Centimeter
)

// drawChart makes a chart of a measure: for each of its charted columns a panel, in which each contestant has a row, with the median and the rounds
// between which it lies.
func drawChart(m measure, r result, file string) error {
	var panels []*plot.Plot
	rows := 0
	for _, col := range m.columns {
		if !col.chart {
			continue
		}
		panel, n, err := newPanel(m, r, col)
		if err != nil {
			return err
		}
		if n > 0 {
			panels, rows = append(panels, panel), n
		}
	}
	if len(panels) == 0 {
		return nil
	}
	height := rimHeight + vg.Length(rows)*rowHeight
	canvas := vgsvg.New(chartWidth, height*vg.Length(len(panels)))
	for i, panel := range panels {
		above := height * vg.Length(i)
		below := height * vg.Length(len(panels)-1-i)
		panel.Draw(draw.Crop(draw.New(canvas), margin, -margin, below, -above))
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := canvas.WriteTo(f); err != nil {
		return err
	}
	return f.Close()
}

// newPanel is a chart of one column, and the number of its rows.
func newPanel(m measure, r result, col column) (*plot.Plot, int, error) {
	var names []string
	var values []float64
	var field []contestant
	for _, c := range slices.Backward(r.field) { // the first is on top
		if v := r.value(c, col); !math.IsNaN(v) {
			names, values, field = append(names, c.name), append(values, v), append(field, c)
		}
	}
	if len(field) == 0 {
		return nil, 0, nil
	}
	p := plot.New()
	p.Title.Text = m.title
	p.X.Label.Text = heading(col)
	p.NominalY(names...)
	p.Y.Min, p.Y.Max = -0.7, float64(len(names))-0.3
	p.Add(plotter.NewGrid())
	least := scale(p, values)
	p.Legend.Top = true
	for _, camp := range []camp{us, floors, byHand, peers} {
		d := newDots(r, col, camp, field, values, least)
		if d.Len() == 0 {
			continue
		}
		p.Y.Max += legendRows
		if err := d.addTo(p, camp); err != nil {
			return nil, 0, err
		}
	}
	return p, len(names), nil
}

// scale chooses a logarithmic axis where figures of different orders are compared. It returns the least that can be shown on it.
func scale(p *plot.Plot, values []float64) (least float64) {
	greatest := slices.Max(values)
	least = math.Inf(1)
	for _, v := range values {
		if v > 0 {
			least = min(least, v)
		}
	}
	if greatest <= 0 || greatest/least < 20 {
		p.X.Min, p.X.Max = 0, max(greatest, 1)*1.25
		return 0
	}
	p.X.Scale = plot.LogScale{}
	p.X.Tick.Marker = plot.LogTicks{Prec: -1}
	p.X.Min, p.X.Max = least/1.5, greatest*4
	return least / 1.5
}

// dots are the figures of one camp.
type dots struct {
	points  plotter.XYs
	spreads plotter.XErrors
	figures []string
}

// Len, XY and XError make dots what is drawn as points with whiskers.
func (d *dots) Len() int { return len(d.points) }

func (d *dots) XY(i int) (x, y float64) { return d.points.XY(i) }

func (d *dots) XError(i int) (low, high float64) { return d.spreads.XError(i) }

func newDots(r result, col column, of camp, field []contestant, values []float64, least float64) *dots {
	d := &dots{}
	for i, c := range field {
		if c.camp != of {
			continue
		}
		// What is not on the scale is at its edge: the figure beside it says what it is.
		x := max(values[i], least)
		rounds := r.byRound(c, col)
		low, high := max(slices.Min(rounds), least), max(slices.Max(rounds), least)
		d.points = append(d.points, plotter.XY{X: x, Y: float64(i)})
		d.spreads = append(d.spreads, struct{ Low, High float64 }{min(0, low-x), max(0, high-x)})
		d.figures = append(d.figures, "  "+col.unit.format(values[i]))
	}
	return d
}

func (d *dots) addTo(p *plot.Plot, of camp) error {
	points, err := plotter.NewScatter(d)
	if err != nil {
		return err
	}
	points.GlyphStyle = draw.GlyphStyle{Color: colours[of], Radius: vg.Points(3), Shape: draw.CircleGlyph{}}
	whiskers, err := plotter.NewXErrorBars(d)
	if err != nil {
		return err
	}
	whiskers.Color = colours[of]
	figures, err := plotter.NewLabels(plotter.XYLabels{XYs: d.points, Labels: d.figures})
	if err != nil {
		return err
	}
	figures.Offset = vg.Point{X: vg.Points(2), Y: vg.Points(2)}
	p.Add(whiskers, points, figures)
	p.Legend.Add(string(of), points)
	return nil
}
